"""
A local Tavily: POST /search as the wire has it, with results that a test scripts.

    with TavilyServer() as tavily:
        os.environ.update(tavily.environment)      # TAVILY_API_URL, TAVILY_API_KEY
        tavily.script(too_many(), found(page("https://example.com/a")))  # one after the other
        ...
        assert tavily.queries == ['"203.0.113.9" ...']

Of a script the last behaviour stays. Nothing scripted: one page per query. A request with the
wrong key, the wrong path or a query over 400 characters is refused as the service does.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "tvly-test-4f1c9e"


@dataclass
class Search:
    """One request that reached the server."""

    at: float
    """time.monotonic()"""
    query: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What goes back over the wire."""

    status: int = 200
    body: bytes = b""
    delay_seconds: float = 0.0
    hang_up: bool = False
    pause_seconds: float = 0.0
    """After each byte of the body."""
    headers: dict[str, str] = field(default_factory=dict)


Behaviour = Callable[[Search], Reply]


def page(
    url: str, title: str | None = "A page", content: str | None = "What it says."
) -> dict[str, Any]:
    """One result."""
    return {"title": title, "url": url, "content": content, "score": 0.9, "raw_content": None}


def found(*pages: dict[str, Any]) -> Behaviour:
    """These results; without any, nothing was found."""

    def answer(search: Search) -> Reply:
        body = {
            "query": search.query,
            "follow_up_questions": None,
            "answer": None,
            "images": [],
            "results": list(pages),
            "response_time": 0.42,
            "request_id": "7e0a6f2c-0000-4000-8000-000000000000",
        }
        return Reply(200, json.dumps(body).encode())

    return answer


def one_page() -> Behaviour:
    """A page about the query, another one for each query."""

    def answer(search: Search) -> Reply:
        number = sum(search.query.encode())
        result = page(f"https://example.com/{number}", f"About {search.query}"[:80])
        return found(result)(search)

    return answer


def failed(status: int, error: str = "scripted") -> Behaviour:
    """An error in Tavily's shape: 400, 401, 403, 429, 432, 433, 5xx."""
    body = json.dumps({"detail": {"error": error}}).encode()
    return lambda _search: Reply(status, body)


def too_many() -> Behaviour:
    """429."""
    return failed(429, "Your request has been blocked due to excessive requests.")


def unauthorized() -> Behaviour:
    """401."""
    return failed(401, "Unauthorized: missing or invalid API key.")


def plan_used_up() -> Behaviour:
    """432."""
    return failed(432, "This request exceeds your plan's set usage limit.")


def body(text: str) -> Behaviour:
    """200 with any body: `null`, half a document, HTML."""
    return lambda _search: Reply(200, text.encode())


def hung_up() -> Behaviour:
    """The connection ends without an answer."""
    return lambda _search: Reply(hang_up=True)


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    """The same, later."""

    def answer(search: Search) -> Reply:
        reply = behaviour(search)
        reply.delay_seconds += seconds
        return reply

    return answer


def trickled(behaviour: Behaviour, pause_seconds: float = 0.2) -> Behaviour:
    """The same, a byte at a time: no single wait is long, and all of it never ends."""

    def answer(search: Search) -> Reply:
        reply = behaviour(search)
        reply.pause_seconds = pause_seconds
        return reply

    return answer


class TavilyServer:
    """Serves on a free port of 127.0.0.1 from `with` to its end."""

    def __init__(self, key: str = KEY) -> None:
        """Accept *key* only."""
        self.key = key
        self.searches: list[Search] = []
        """All requests that were not refused for their form, in order of arrival."""
        self.refused: list[str] = []
        """Why requests were refused for their form; empty when the client is right."""
        self._script: list[Behaviour] = [one_page()]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        """For TAVILY_API_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a client, also one in another process, comes here."""
        return {"TAVILY_API_URL": self.url, "TAVILY_API_KEY": self.key}

    @property
    def queries(self) -> list[str]:
        """What was searched for, in order of arrival."""
        return [search.query for search in self.searches]

    def script(self, *behaviours: Behaviour) -> None:
        """Answer with these, one after the other; the last one stays."""
        with self._lock:
            self._script = list(behaviours)

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stop; answers that are still delayed are dropped."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, headers: dict[str, str], content: Any) -> Reply:
        search = Search(time.monotonic(), str((content or {}).get("query", "")), headers, content)
        if fault := self._find_fault(path, search):
            self.refused.append(f"{fault[0]}: {fault[1]}")
            return failed(*fault)(search)
        with self._lock:
            self.searches.append(search)
            behaviour = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        reply = behaviour(search)
        if reply.delay_seconds:
            self._closing.wait(reply.delay_seconds)
        return reply

    def _find_fault(self, path: str, search: Search) -> tuple[int, str] | None:
        if path != "/search":
            return 404, f"Not Found: {path}"
        if search.headers.get("authorization") != f"Bearer {self.key}":
            return 401, "Unauthorized: missing or invalid API key."
        if not search.query or len(search.query) > 400:
            return 400, "Query is missing or too long. Max query length is 400 characters."
        return None


def _handler_for(server: TavilyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(server._answer(self.path, headers, json.loads(raw)))

        def _send(self, reply: Reply) -> None:
            self.close_connection = reply.hang_up
            if reply.hang_up:
                return
            try:
                self.send_response(reply.status)
                for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if not reply.pause_seconds:
                    self.wfile.write(reply.body)
                    return
                for byte in reply.body:
                    self.wfile.write(bytes([byte]))
                    if server._closing.wait(reply.pause_seconds):
                        return
            except OSError:
                self.close_connection = True  # the client has given up waiting

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
