"""
A Telegram Bot API on a free local port, as much of it as an alert meets.

    with TelegramServer() as telegram:
        telegram.script(too_many_requests(retry_after=1), slow(3))  # the next two requests
        telegram.when("198.51.100.7", chat_not_found())             # every text that holds this
        ...  # TELEGRAM_API_URL=telegram.url TELEGRAM_BOT_TOKEN=telegram.token
        assert [m.text for m in telegram.messages] == [...]

What is not scripted is answered as Telegram does: a wrong token, markup that does not parse, a
text that is empty or too long, a reply to nothing. `messages` is what people see; `requests` is every attempt.
"""

import itertools
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

LIMIT = 4096


@dataclass(frozen=True)
class Behaviour:
    """How one request is answered; `status` None answers as Telegram would."""

    status: int | None = None
    description: str = ""
    parameters: dict[str, int] = field(default_factory=dict)
    html: str | None = None
    """An answer that is no JSON, like a gateway's."""
    wait_seconds: float = 0
    is_delivered: bool = False
    """People see the message although the answer says otherwise."""
    is_dropped: bool = False
    """The connection is closed without an answer."""
    pause_seconds: float = 0
    """After each byte of the answer."""


def ok() -> Behaviour:
    """Answer as Telegram would: the message is delivered if it is valid."""
    return Behaviour()


def slow(seconds: float) -> Behaviour:
    """Deliver at once, answer after *seconds*."""
    return Behaviour(wait_seconds=seconds)


def too_many_requests(retry_after: int) -> Behaviour:
    """429 that asks to wait."""
    text = f"Too Many Requests: retry after {retry_after}"
    return Behaviour(429, text, {"retry_after": retry_after})


def cannot_parse() -> Behaviour:
    """400 about markup, whatever the markup."""
    text = 'Bad Request: can\'t parse entities: Unsupported start tag "x" at byte offset 7'
    return Behaviour(400, text)


def chat_not_found() -> Behaviour:
    """400 for a chat that does not exist or never spoke to the bot."""
    return Behaviour(400, "Bad Request: chat not found")


def migrated(chat_id: int) -> Behaviour:
    """400 for a group that became the supergroup *chat_id*."""
    text = "Bad Request: group chat was upgraded to a supergroup chat"
    return Behaviour(400, text, {"migrate_to_chat_id": chat_id})


def unauthorized() -> Behaviour:
    """401 as for a wrong token."""
    return Behaviour(401, "Unauthorized")


def blocked() -> Behaviour:
    """403 from a person who blocked the bot."""
    return Behaviour(403, "Forbidden: bot was blocked by the user")


def bad_gateway() -> Behaviour:
    """502 in HTML from the machine before the Bot API."""
    page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n"
    return Behaviour(502, html=page)


def garbage() -> Behaviour:
    """200 with a page that is not the Bot API's."""
    return Behaviour(200, html="<html>Log in to this hotel's network</html>")


def drop_connection(*, is_delivered: bool = True) -> Behaviour:
    """The connection is closed after the request arrived, which people may see or not."""
    return Behaviour(is_dropped=True, is_delivered=is_delivered)


def trickled(pause_seconds: float = 0.2) -> Behaviour:
    """Deliver at once, answer a byte at a time: no single wait is long, and it never ends."""
    return Behaviour(pause_seconds=pause_seconds)


@dataclass(frozen=True)
class Entity:
    """A formatted part of a text; offset and length in UTF-16 units."""

    type: str
    offset: int
    length: int
    url: str = ""


@dataclass(frozen=True)
class Request:
    """One call of sendMessage, whatever became of it."""

    at: float
    """`time.monotonic()`."""
    body: dict[str, Any]


@dataclass(frozen=True)
class Delivered:
    """A message that people see."""

    message_id: int
    at: float
    """`time.monotonic()`."""
    chat_id: str
    text: str
    """As it is read, without markup."""
    entities: tuple[Entity, ...]
    is_silent: bool
    reply_to: int | None = None
    """The message above it; None: it stands alone."""


class MarkupError(ValueError):
    """Telegram's words about markup."""


class TelegramServer:
    """Serves from `__enter__` to `__exit__`."""

    def __init__(self, token: str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw") -> None:
        self.token = token
        self.requests: list[Request] = []
        self.messages: list[Delivered] = []
        self._ids = itertools.count(1001)
        self._script: deque[Behaviour] = deque()
        self._matches: list[tuple[str, Behaviour]] = []
        self._default = ok()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.telegram = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """What TELEGRAM_API_URL is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *behaviours: Behaviour) -> None:
        """The next requests are answered so, one after the other; then as usual."""
        self._script.extend(behaviours)

    def when(self, text: str, behaviour: Behaviour) -> None:
        """Every message that holds *text* is answered so."""
        self._matches.append((text, behaviour))

    def always(self, behaviour: Behaviour) -> None:
        """Whatever nothing else is said for is answered so."""
        self._default = behaviour

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _choose(self, body: dict[str, Any]) -> Behaviour:
        with self._lock:
            self.requests.append(Request(time.monotonic(), body))
            for text, behaviour in self._matches:
                if text in str(body.get("text", "")):
                    return behaviour
            return self._script.popleft() if self._script else self._default

    def _deliver(self, body: dict[str, Any]) -> Delivered:
        """
        Show a message to people.

        Raises:
            ValueError: Telegram does not accept it; the text is its description.
        """
        text, entities = _read(body)
        if not text.strip():
            raise ValueError("Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > LIMIT:
            raise ValueError("Bad Request: message is too long")
        reply_to = self._find_replied(str(body["chat_id"]), body.get("reply_parameters"))
        with self._lock:
            message = Delivered(
                next(self._ids),
                time.monotonic(),
                str(body["chat_id"]),
                text,
                tuple(entities),
                str(body.get("disable_notification", False)).lower() == "true",
                reply_to,
            )
            self.messages.append(message)
            return message

    def delete(self, message_id: int) -> None:
        """Somebody in the chat deletes a message."""
        with self._lock:
            self.messages = [m for m in self.messages if m.message_id != message_id]

    def _find_replied(self, chat_id: str, parameters: Any) -> int | None:
        """
        What `reply_parameters` refer to, in the same chat.

        Raises:
            ValueError: No such message, and sending without is not allowed.
        """
        if parameters is None:
            return None
        wanted = parameters.get("message_id") if isinstance(parameters, dict) else None
        if not isinstance(wanted, int):
            raise ValueError("Bad Request: can't parse reply parameters")  # noqa: TRY004 -- as said above
        if any((m.chat_id, m.message_id) == (chat_id, wanted) for m in self.messages):
            return wanted
        if parameters.get("allow_sending_without_reply") is True:
            return None
        raise ValueError("Bad Request: message to be replied not found")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    telegram: TelegramServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self._read_body()
        if not (match := re.fullmatch(r"/bot([^/]+)/sendMessage", self.path)):
            return self._refuse(404, "Not Found")
        if unquote(match[1]) != self.server.telegram.token:
            return self._refuse(401, "Unauthorized")
        behaviour = self.server.telegram._choose(body)
        if behaviour.is_delivered:
            self.server.telegram._deliver(body)
        if behaviour.is_dropped:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if behaviour.html is not None:
            return self._send(behaviour.status or 200, "text/html", behaviour.html.encode())
        if behaviour.status is not None:
            time.sleep(behaviour.wait_seconds)
            return self._refuse(behaviour.status, behaviour.description, behaviour.parameters)
        return self._accept(body, behaviour)

    def _accept(self, body: dict[str, Any], behaviour: Behaviour) -> None:
        if not body.get("chat_id"):
            return self._refuse(400, "Bad Request: chat_id is empty")
        try:
            message = self.server.telegram._deliver(body)
        except ValueError as error:
            return self._refuse(400, str(error))
        time.sleep(behaviour.wait_seconds)
        return self._answer(
            200,
            {
                "ok": True,
                "result": {
                    "message_id": message.message_id,
                    "date": int(time.time()),
                    "chat": {"id": message.chat_id, "type": "private"},
                    "text": message.text,
                },
            },
            behaviour.pause_seconds,
        )

    def _read_body(self) -> dict[str, Any]:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "json" in self.headers.get("Content-Type", ""):
            return dict(json.loads(content))
        return dict(parse_qsl(content.decode()))

    def _refuse(
        self, status: int, description: str, parameters: dict[str, int] | None = None
    ) -> None:
        answer: dict[str, Any] = {
            "ok": False,
            "error_code": status,
            "description": description,
        }
        self._answer(status, answer | ({"parameters": parameters} if parameters else {}))

    def _answer(self, status: int, answer: dict[str, Any], pause_seconds: float = 0) -> None:
        self._send(status, "application/json", json.dumps(answer).encode(), pause_seconds)

    def _send(
        self, status: int, content_type: str, content: bytes, pause_seconds: float = 0
    ) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for start in range(len(content)) if pause_seconds else ():
                self.wfile.write(content[start : start + 1])
                time.sleep(pause_seconds)
            if not pause_seconds:
                self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True  # the client gave up waiting

    def log_message(self, *args: object) -> None:
        """Say nothing: the path holds the token."""


def _read(body: dict[str, Any]) -> tuple[str, Sequence[Entity]]:
    text = str(body.get("text", ""))
    if len(text.encode()) > 32_768:
        raise ValueError("Bad Request: text is too long")
    if str(body.get("parse_mode", "")).upper() != "HTML":
        return _normalise(text), [Entity(**e) for e in body.get("entities", [])]
    try:
        plain, entities = parse_html(text)
    except MarkupError as error:
        raise ValueError(f"Bad Request: can't parse entities: {error}") from error
    return _normalise(plain), entities


def _normalise(text: str) -> str:
    """What Telegram makes of characters: controls are blanks, bidi overrides are dropped."""
    text = re.sub(r"[\u2028-\u202e]", "", text.replace("\r", ""))
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", text).strip()


_TAGS = {
    "b", "strong", "i", "em", "s", "strike", "del", "u", "ins", "tg-spoiler", "span", "a",
    "pre", "code", "blockquote",
}  # fmt: skip
_TYPES = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "a": "text_link"}
_START = re.compile(r"<([^\s>]*)((?:\s+[^\s=>]+=(?:\"[^\"]*\"|'[^']*'|[A-Za-z0-9.-]+))*)\s*>")
_END = re.compile(r"</([^\s>]*)\s*>")
_REFERENCE = re.compile(r"&(lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});")


def parse_html(html: str) -> tuple[str, list[Entity]]:
    """
    The text and its entities, read as strictly as tdlib's parser does.

    Raises:
        MarkupError: With tdlib's sentence for it.
    """
    text, entities, at = "", [], 0
    nested: list[tuple[str, str, int]] = []
    while at < len(html):
        if html[at] == "&" and (reference := _REFERENCE.match(html, at)):
            text += unescape(reference[0])
            at = reference.end()
        elif html[at] != "<":
            text += html[at]
            at += 1
        elif html.startswith("</", at):
            at, entity = _close(html, at, nested, len(text.encode("utf-16-le")) // 2)
            if entity.length:
                entities.append(entity)
        else:
            at, tag, url = _open(html, at)
            nested.append((tag, url, len(text.encode("utf-16-le")) // 2))
    if nested:
        raise MarkupError(f"Can't find end tag corresponding to start tag {nested[-1][0]}")
    return text, entities


def _open(html: str, at: int) -> tuple[int, str, str]:
    offset = len(html[:at].encode())
    name = re.compile(r"[^\s>]*").match(html, at + 1)
    tag = name[0].lower() if name else ""
    if tag not in _TAGS:
        raise MarkupError(f'Unsupported start tag "{tag}" at byte offset {offset}')
    start = _START.match(html, at)
    if start is None:
        raise MarkupError(f"Unclosed start tag at byte offset {offset}")
    attributes = dict(re.findall(r"([^\s=>]+)=[\"']?([^\"'>]*)", start[2]))
    if tag == "span" and attributes.get("class") != "tg-spoiler":
        raise MarkupError(f'Tag "span" must have class "tg-spoiler" at byte offset {offset}')
    return start.end(), tag, unescape(attributes.get("href", ""))


def _close(
    html: str, at: int, nested: list[tuple[str, str, int]], length: int
) -> tuple[int, Entity]:
    offset = len(html[:at].encode())
    end = _END.match(html, at)
    if not nested:
        raise MarkupError(f"Unexpected end tag at byte offset {offset}")
    if end is None:
        raise MarkupError(f"Unclosed end tag at byte offset {offset}")
    tag, url, start = nested.pop()
    if end[1] and end[1].lower() != tag:
        raise MarkupError(
            f'Unmatched end tag at byte offset {offset}, expected "</{tag}>",'
            f' found "</{end[1].lower()}>"'
        )
    return end.end(), Entity(_TYPES.get(tag, tag), start, length - start, url)
