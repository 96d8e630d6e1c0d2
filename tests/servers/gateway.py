"""
An HTTP gateway before another server: what it is told to refuse never gets there.

    with Gateway("http://127.0.0.1:5000") as gateway:
        gateway.refuse(re.compile("GET /bucket/key"), 503, "SlowDown", times=2)
        gateway.before(re.compile("GET /bucket/key"), lambda: ...)   # once, before it is passed on
        ...  # AWS_ENDPOINT_URL_S3=gateway.url
"""

import http.client
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Refusal:
    """What is answered instead; *times* None is until it is healed."""

    pattern: re.Pattern[str]
    status: int
    code: str
    times: int | None
    before: Callable[[], object]


class Gateway:
    """Serves from `with` to its end."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.refusals: list[Refusal] = []
        self.triggers: list[tuple[re.Pattern[str], Callable[[], object]]] = []
        self.trickling: re.Pattern[str] | None = None
        """Requests that are answered a byte at a time from the tenth byte on."""
        self.requests: list[str] = []
        """`METHOD path` of each, in order of arrival."""
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where clients are sent."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def refuse(
        self,
        pattern: re.Pattern[str],
        status: int,
        code: str,
        times: int | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Requests that `METHOD path` matches are answered with an S3 error, after *before*."""
        self.refusals.append(Refusal(pattern, status, code, times, before))

    def before(self, pattern: re.Pattern[str], do: Callable[[], object]) -> None:
        """Do something once, before a matching request is passed on."""
        self.triggers.append((pattern, do))

    def heal(self) -> None:
        """Pass everything on."""
        self.refusals.clear()
        self.trickling = None

    def is_slow(self, request: str) -> bool:
        """Whether it is answered a byte at a time."""
        return self.trickling is not None and self.trickling.match(request) is not None

    def find_refusal(self, request: str) -> Refusal | None:
        """The one that this request meets; it counts as used."""
        with self.lock:
            for refusal in self.refusals:
                if refusal.times != 0 and refusal.pattern.match(request):
                    if refusal.times is not None:
                        refusal.times -= 1
                    return refusal
        return None

    def trigger(self, request: str) -> None:
        """Do what is to be done before this request."""
        with self.lock:
            due = [(p, do) for p, do in self.triggers if p.match(request)]
            self.triggers = [t for t in self.triggers if t not in due]
        for _, do in due:
            do()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler_for(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            request = f"{self.command} {self.path}"
            gateway.requests.append(request)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if refusal := gateway.find_refusal(request):
                refusal.before()
                text = f"<Error><Code>{refusal.code}</Code><Message>scripted</Message></Error>"
                self._answer(refusal.status, {"Content-Type": "application/xml"}, text.encode())
                return
            gateway.trigger(request)
            connection = http.client.HTTPConnection(gateway.upstream, timeout=30)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            content = response.read()
            headers = {
                k: v
                for k, v in response.getheaders()
                if k.lower() not in ("transfer-encoding", "content-length", "connection")
            }
            self._answer(response.status, headers, content, is_slow=gateway.is_slow(request))
            connection.close()

        def do_GET(self) -> None:
            self._pass_on()

        def do_HEAD(self) -> None:
            self._pass_on()

        def do_PUT(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _answer(
            self, status: int, headers: dict[str, str], content: bytes, *, is_slow: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            pieces = [content[:10], *(bytes([b]) for b in content[10:])] if is_slow else [content]
            with suppress(OSError):  # the client may have given up
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(0.2 if is_slow else 0)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
