"""
A local Bedrock: the Converse API as the wire has it, with an analyst that a test scripts.

    with BedrockServer() as bedrock:
        os.environ.update(bedrock.environment)  # the endpoint, and keys that no AWS takes
        bedrock.judge("198.51.100.7", benign())            # always, for this address
        bedrock.judge("203.0.113.9", throttled(), throttled(), true_positive())  # one after the other
        bedrock.judge_everyone(delayed(0.2, true_positive()))
        ...
        assert [c.source_ip for c in bedrock.calls] == [...]
        assert bedrock.most_at_once <= 4

An address that nobody scripted gets `true_positive()` with a valid citation. Of a list, the last
behaviour stays for ever. A behaviour is any function from a `Call` to a `Reply`; make your own.
Answers of `verdict(...)` and its friends are checked against the inputSchema that was sent, so a
good answer is one that the real service could give. Requests without a signature, with
the wrong path or without what Converse requires are refused as the service does.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import jsonschema  # type: ignore[import-untyped]


@dataclass
class Call:
    """One request that reached the server."""

    started_at: float
    """time.monotonic()"""
    model_id: str
    headers: dict[str, str]
    body: dict[str, Any]
    finished_at: float | None = None
    status: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document of the (only) user message."""
        texts = [b["text"] for b in self.body["messages"][-1]["content"] if "text" in b]
        return json.loads("".join(texts))

    @property
    def system(self) -> str:
        """The system prompt."""
        return "".join(block.get("text", "") for block in self.body.get("system", []))

    @property
    def source_ip(self) -> str:
        """The address that is judged."""
        return self.document["source_ip"]

    @property
    def lines(self) -> list[dict[str, str]]:
        """The log lines: [{"id": ..., "text": ...}]."""
        return self.document["lines"]

    @property
    def research(self) -> list[dict[str, str]]:
        """The web pages of a second look; empty in a first one."""
        return self.document.get("research", [])

    @property
    def correction(self) -> str | None:
        """Why the previous answer was refused, where this is the repair call."""
        return self.document.get("correction")

    @property
    def tool(self) -> dict[str, Any]:
        """The toolSpec: name, description, inputSchema.json."""
        return self.body["toolConfig"]["tools"][0]["toolSpec"]


@dataclass
class Reply:
    """What goes back over the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    hang_up: bool = False
    """Close the connection instead of answering."""
    pause_seconds: float = 0.0
    """After each byte of the body."""


Behaviour = Callable[[Call], Reply]
DEFAULT_USAGE = {"inputTokens": 2000, "outputTokens": 400, "totalTokens": 2400}


# ---- good answers


def verdict(kind: str, **fields: Any) -> Behaviour:
    """A complete answer; *fields* replace its parts (`evidence=[{"line": ..., "quote": ...}]`)."""

    def answer(call: Call) -> Reply:
        content = sensible_answer(call, kind) | fields
        jsonschema.validate(content, call.tool["inputSchema"]["json"])
        return tool_call(content, call)

    return answer


def true_positive(**fields: Any) -> Behaviour:
    """An attack, with a quote from the strongest line."""
    return verdict("true_positive", **fields)


def benign(**fields: Any) -> Behaviour:
    """Nothing to act on, nothing cited."""
    return verdict("benign", **{"evidence": [], "techniques": [], "severity": "low"} | fields)


def sensible_answer(call: Call, kind: str = "true_positive") -> dict[str, Any]:
    """The tool input of a model that reads well, as a dict to spoil."""
    cited = [{"line": line["id"], "quote": line["text"][:60]} for line in call.lines[:1]]
    return {
        "ip_address": call.source_ip,
        "verdict": kind,
        "severity": "high",
        "probable_attack_type": f"{kind} of the stand-in",
        "confidence_level": "High",
        "summary": f"The stand-in calls {call.source_ip} {kind}.",
        "recommended_action": f"Do what is right with {call.source_ip}.",
        "evidence": cited,
        "techniques": ["T1190"],
    }


# ---- bad answers


def without(name: str) -> Behaviour:
    """A field is missing."""
    return _spoiled(lambda answer: answer.pop(name))


def with_fields(**fields: Any) -> Behaviour:
    """Fields with whatever values, the schema notwithstanding."""
    return _spoiled(lambda answer: answer.update(fields))


def wrong_ip(address: str = "192.0.2.66") -> Behaviour:
    """A verdict on somebody else."""
    return with_fields(ip_address=address)


def bad_citation(line: str = "made-up-01", quote: str = "made up") -> Behaviour:
    """An accusation that cites what was not shown."""
    return with_fields(evidence=[{"line": line, "quote": quote}])


def invalid_json() -> Behaviour:
    """The tool input is a string that is no JSON."""
    return lambda call: tool_call('{"verdict": "true_posi', call)


def prose(text: str = "This looks like an attack.") -> Behaviour:
    """No tool call, only text."""
    return lambda _call: converse_reply([{"text": text}], "end_turn")


def cut_off() -> Behaviour:
    """Stopped at max_tokens in the middle of the tool input."""

    def answer(call: Call) -> Reply:
        half = dict(list(sensible_answer(call).items())[:4])
        return tool_call(half, call, stop_reason="max_tokens")

    return answer


def refusal(stop_reason: str = "refusal") -> Behaviour:
    """The model (or, with `guardrail_intervened`, a guardrail) declines."""
    return lambda _call: converse_reply([{"text": "I can't help with that."}], stop_reason)


# ---- errors of the service


def failed(status: int, code: str, message: str = "scripted") -> Behaviour:
    """Any error in the shape of AWS JSON errors."""
    body = json.dumps({"message": message}).encode()
    return lambda _call: Reply(status, body, {"x-amzn-ErrorType": f"{code}:http://internal/"})


def throttled() -> Behaviour:
    """429 ThrottlingException."""
    return failed(429, "ThrottlingException", "Too many requests, please wait.")


def unavailable() -> Behaviour:
    """503 ServiceUnavailableException."""
    return failed(503, "ServiceUnavailableException")


def not_ready() -> Behaviour:
    """429 ModelNotReadyException."""
    return failed(429, "ModelNotReadyException")


def access_denied() -> Behaviour:
    """403 AccessDeniedException."""
    return failed(403, "AccessDeniedException", "You don't have access to the model.")


def expired() -> Behaviour:
    """403 ExpiredTokenException."""
    return failed(403, "ExpiredTokenException", "The security token included is expired")


def invalid_request() -> Behaviour:
    """400 ValidationException, as for a model id without an inference profile."""
    return failed(400, "ValidationException", "on-demand throughput isn't supported")


def html_error(status: int = 502) -> Behaviour:
    """What a load balancer says."""
    return lambda _call: Reply(status, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})


def truncated_body() -> Behaviour:
    """200, and half a JSON document with the Content-Length of the half."""

    def answer(call: Call) -> Reply:
        whole = tool_call(sensible_answer(call), call)
        return Reply(200, whole.body[: len(whole.body) // 2])

    return answer


def hung_up() -> Behaviour:
    """The connection ends without an answer."""
    return lambda _call: Reply(hang_up=True)


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    """The same, later."""

    def answer(call: Call) -> Reply:
        reply = behaviour(call)
        reply.delay_seconds += seconds
        return reply

    return answer


def trickled(behaviour: Behaviour, pause_seconds: float = 0.2) -> Behaviour:
    """The same, a byte at a time: no single wait is long, and all of it never ends."""

    def answer(call: Call) -> Reply:
        reply = behaviour(call)
        reply.pause_seconds = pause_seconds
        return reply

    return answer


# ---- building blocks


def tool_call(content: object, call: Call, *, stop_reason: str = "tool_use") -> Reply:
    """A reply whose toolUse block has *content* as its input."""
    tool_use = {"toolUseId": "tooluse_1", "name": call.tool["name"], "input": content}
    return converse_reply([{"toolUse": tool_use}], stop_reason)


def converse_reply(
    content: list[dict[str, Any]], stop_reason: str, usage: dict[str, int] | None = None
) -> Reply:
    """A ConverseResponse."""
    body = {
        "metrics": {"latencyMs": 12},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": DEFAULT_USAGE if usage is None else usage,
    }
    return Reply(200, json.dumps(body).encode())


def _spoiled(spoil: Callable[[dict[str, Any]], object]) -> Behaviour:
    def answer(call: Call) -> Reply:
        content = sensible_answer(call)
        spoil(content)
        return tool_call(content, call)

    return answer


class BedrockServer:
    """Serves on a free port of 127.0.0.1 from `with` to its end."""

    def __init__(self) -> None:
        """Nothing is scripted: everyone is a true positive."""
        self.calls: list[Call] = []
        """All requests that were not refused for their form, in order of arrival."""
        self.refused: list[str] = []
        """Why requests were refused for their form; empty when the client is right."""
        self.most_at_once = 0
        self._by_ip: dict[str, list[Behaviour]] = {}
        self._everyone: list[Behaviour] = [true_positive()]
        self._active = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        """For AWS_ENDPOINT_URL_BEDROCK_RUNTIME."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a client, also one in another process, comes here."""
        return {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def judge(self, source_ip: str, *behaviours: Behaviour) -> None:
        """Answer for *source_ip* with these, one after the other; the last one stays."""
        with self._lock:
            self._by_ip[source_ip] = list(behaviours)

    def judge_everyone(self, *behaviours: Behaviour) -> None:
        """Answer with these, one after the other, for addresses without a script of their own."""
        with self._lock:
            self._everyone = list(behaviours)

    def calls_for(self, source_ip: str) -> list[Call]:
        """The calls about one address, in order."""
        return [call for call in self.calls if call.source_ip == source_ip]

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
        _tb: TracebackType | None,
    ) -> None:
        """Stop; answers that are still delayed are dropped."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
            self._active += 1
            self.most_at_once = max(self.most_at_once, self._active)
            script = self._by_ip.get(call.source_ip, self._everyone)
            behaviour = script.pop(0) if len(script) > 1 else script[0]
        try:
            reply = behaviour(call)
            if reply.delay_seconds:
                self._closing.wait(reply.delay_seconds)
            return reply
        finally:
            call.finished_at = time.monotonic()
            with self._lock:
                self._active -= 1


def _find_fault(path: str, headers: dict[str, str], body: object) -> tuple[int, str, str] | None:
    """What the service would say of the form of a request: status, error code, message."""
    authorization = headers.get("authorization", "")
    if not authorization.startswith(("AWS4-HMAC-SHA256 Credential=", "Bearer ")):
        return 403, "MissingAuthenticationTokenException", "Missing Authentication Token"
    parts = path.split("/")
    if len(parts) != 4 or parts[1] != "model" or parts[3] != "converse":
        return 404, "UnknownOperationException", f"unknown path {path}"
    if not isinstance(body, dict) or not body.get("messages"):
        return 400, "ValidationException", "messages must not be empty"
    for message in body["messages"]:
        if message.get("role") not in ("user", "assistant") or not message.get("content"):
            return 400, "ValidationException", "a message needs a role and content"
    tools = {t["toolSpec"]["name"] for t in body.get("toolConfig", {}).get("tools", [])}
    choice = body.get("toolConfig", {}).get("toolChoice", {}).get("tool", {}).get("name")
    if choice is not None and choice not in tools:
        return 400, "ValidationException", f"toolChoice names the unknown tool {choice}"
    return None


def _handler_for(server: BedrockServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            started_at = time.monotonic()
            expected = int(self.headers.get("Content-Length", 0))
            raw = self.rfile.read(expected)
            if len(raw) < expected:  # the client died
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            if fault := _find_fault(self.path, headers, body):
                server.refused.append(f"{fault[1]}: {fault[2]}")
                self._send(failed(*fault)(Call(started_at, "", headers, {})))
                return
            call = Call(started_at, unquote(self.path.split("/")[2]), headers, body)
            self._send(_answer_safely(server, call))

        def _send(self, reply: Reply) -> None:
            self.close_connection = reply.hang_up
            if reply.hang_up:
                return
            try:
                self.send_response(reply.status)
                self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
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


def _answer_safely(server: BedrockServer, call: Call) -> Reply:
    try:
        reply = server._answer(call)
    except Exception as error:  # noqa: BLE001 -- a broken script must show, not hang its test
        server.refused.append(f"the test's own script failed: {error!r}")
        return Reply(500, b'{"message": "broken script"}')
    call.status = None if reply.hang_up else reply.status
    return reply
