"""The requests of an access log as other servers would log them, to measure with."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

_LINE = re.compile(
    r'(\S+) - (\S+) \[([^\]]+)\] "([A-Z]+) (\S+) (HTTP/\S+)" (\d+) (\d+) "([^"]*)" "([^"]*)"\n'
)
_IIS = (
    "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) "
    "cs(Referer) sc-status sc-substatus sc-win32-status time-taken"
)
_CLOUDFRONT = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
    "cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
    "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
    "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start "
    "sc-range-end"
)
_PEER_PORT = 51_234


class Request:
    """One request of an access log."""

    def __init__(self, match: re.Match[str]) -> None:
        self.ip, self.user, time, self.method, self.target, self.protocol = match.groups()[:6]
        self.status, self.size, self.referrer, self.agent = match.groups()[6:]
        self.time = _read_time(time)
        self.path, _, self.query = str(self.target).partition("?")

    @property
    def peer(self) -> str:
        """Address and port."""
        return f"[{self.ip}]:{_PEER_PORT}" if ":" in self.ip else f"{self.ip}:{_PEER_PORT}"


@lru_cache
def _read_time(text: str) -> datetime:
    return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")


def _compact(record: dict[str, object]) -> str:
    return json.dumps(record, separators=(",", ":"))


def _nginx_json(r: Request) -> str:
    return _compact({
        "time_iso8601": r.time.isoformat(), "remote_addr": r.ip,
        "remote_user": "" if r.user == "-" else r.user,
        "request": f"{r.method} {r.target} {r.protocol}", "status": r.status,
        "body_bytes_sent": r.size, "request_time": "0.012",
        "http_referer": "" if r.referrer == "-" else r.referrer, "http_user_agent": r.agent,
    })  # fmt: skip


def _caddy(r: Request) -> str:
    headers = {"User-Agent": [r.agent], "Accept-Encoding": ["gzip, deflate, br"], "Accept": ["*/*"]}
    if r.referrer != "-":
        headers["Referer"] = [r.referrer]
    return _compact({
        "level": "info", "ts": r.time.timestamp() + 0.1240501, "logger": "http.log.access.log0",
        "msg": "handled request",
        "request": {
            "remote_ip": r.ip, "remote_port": str(_PEER_PORT), "client_ip": r.ip,
            "proto": r.protocol, "method": r.method, "host": "shop.example", "uri": r.target,
            "headers": headers,
            "tls": {"resumed": False, "version": 772, "cipher_suite": 4865, "proto": "h2",
                    "server_name": "shop.example"},
        },
        "bytes_read": 0, "user_id": "" if r.user == "-" else r.user, "duration": 0.002131,
        "size": int(r.size), "status": int(r.status),
        "resp_headers": {"Server": ["Caddy"], "Content-Type": ["text/html; charset=utf-8"]},
    })  # fmt: skip


def _traefik(r: Request) -> str:
    text = _compact({
        "ClientAddr": r.peer, "ClientHost": r.ip, "ClientPort": str(_PEER_PORT),
        "ClientUsername": r.user, "DownstreamContentSize": int(r.size),
        "DownstreamStatus": int(r.status), "Duration": 2_131_000, "OriginDuration": 2_000_000,
        "OriginStatus": int(r.status), "Overhead": 131_000, "RequestAddr": "shop.example",
        "RequestContentSize": 0, "RequestCount": 7, "RequestHost": "shop.example",
        "RequestMethod": r.method, "RequestPath": r.target, "RequestPort": "-",
        "RequestProtocol": r.protocol, "RequestScheme": "https", "RetryAttempts": 0,
        "RouterName": "shop@docker", "StartLocal": r.time.isoformat(),
        "StartUTC": f"{r.time:%Y-%m-%dT%H:%M:%S}.124050100Z", "entryPointName": "websecure",
        "level": "info", "msg": "", "request_Referer": r.referrer,
        "request_User-Agent": r.agent, "time": f"{r.time:%Y-%m-%dT%H:%M:%S}Z",
    })  # fmt: skip
    # as Go's encoder does
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _iis(r: Request) -> str:
    return " ".join((
        f"{r.time:%Y-%m-%d %H:%M:%S}", "10.0.0.5", r.method, r.path, r.query or "-", "443", r.user,
        r.ip, r.agent.replace(" ", "+"), r.referrer.replace(" ", "+"), r.status, "0", "0", "12",
    ))  # fmt: skip


def _cloudfront(r: Request) -> str:
    return "\t".join((
        f"{r.time:%Y-%m-%d}", f"{r.time:%H:%M:%S}", "FRA60-P2", r.size, r.ip, r.method,
        "d111111abcdef8.cloudfront.net", r.path, r.status, quote(r.referrer, "/:?=&%-_.~"),
        quote(r.agent, "/:;(),=+-_.~"), r.query or "-", "-", "Hit",
        "SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==", "shop.example", "https", "23",
        "0.001", "-", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "Hit", r.protocol, "-", "-",
        str(_PEER_PORT), "0.001", "Hit", "text/html", r.size, "-", "-",
    ))  # fmt: skip


def _alb(r: Request) -> str:
    return (
        f"h2 {r.time:%Y-%m-%dT%H:%M:%S}.186641Z app/shop/50dc6c495c0c9188 {r.peer} 10.0.0.1:80 "
        f"0.000 0.048 0.000 {r.status} {r.status} 0 {r.size} "
        f'"{r.method} https://shop.example:443{r.target} {r.protocol}" "{r.agent}" '
        "TLS_AES_128_GCM_SHA256 TLSv1.3 "
        "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/73e2d6bc24d8a067 "
        '"Root=1-58337281-1d84f3d73c47ec4e58577259" "shop.example" "session-reused" 1 '
        f'{r.time:%Y-%m-%dT%H:%M:%S}.186000Z "forward" "-" "-" "10.0.0.1:80" "{r.status}" "-" "-" '
        "TID_1234abcd5678ef90"
    )


def _s3(r: Request) -> str:
    quoted = "-" if r.referrer == "-" else f'"{r.referrer}"'
    return (
        "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be shop-assets "
        f"[{r.time:%d/%b/%Y:%H:%M:%S %z}] {r.ip} - 3E57427F3EXAMPLE REST.GET.OBJECT {r.path[1:]} "
        f'"{r.method} {r.target} {r.protocol}" {r.status} - {r.size} {r.size} 7 6 {quoted} '
        f'"{r.agent}" - s9lzHYrFp76ZVxRcpX9+5cjAnEH2ROuNkd2BHfIa6UkFVdtjf5mKR3/eTPFvsiP/ - '
        "TLS_AES_128_GCM_SHA256 - shop-assets.s3.eu-central-1.amazonaws.com TLSv1.3 - -"
    )


def _haproxy(r: Request) -> str:
    return (
        f"{r.time:%b %d %H:%M:%S} edge haproxy[14389]: {r.ip}:{_PEER_PORT} "
        f"[{r.time:%d/%b/%Y:%H:%M:%S}.655] https~ shop/web1 10/0/30/69/109 {r.status} {r.size} - - "
        f'---- 1/1/1/1/0 0/0 "{r.method} {r.target} {r.protocol}"'
    )


FORMATS: dict[str, tuple[str, Callable[[Request], str]]] = {
    "nginx JSON": ("", _nginx_json),
    "Caddy JSON": ("", _caddy),
    "Traefik JSON": ("", _traefik),
    "IIS W3C": (f"#Software: IIS\n#Version: 1.0\n#Fields: {_IIS}\n", _iis),
    "CloudFront W3C": (f"#Version: 1.0\n#Fields: {_CLOUDFRONT}\n", _cloudfront),
    "AWS ALB": ("", _alb),
    "Amazon S3": ("", _s3),
    "HAProxy": ("", _haproxy),
}
"""By name: how a log begins, and how a request is written."""


def log_as(name: str, access_log: Path) -> Path:
    """The log of the same requests in a format of FORMATS; made once, what is no request is not."""
    path = access_log.with_suffix(f".{name.lower().replace(' ', '-')}.log")
    if not path.exists():
        start, write = FORMATS[name]
        partial = path.with_suffix(".partial")
        with access_log.open() as requests, partial.open("w") as file:
            file.write(start)
            for line in requests:
                if match := _LINE.fullmatch(line):
                    file.write(write(Request(match)) + "\n")
        partial.rename(path)
    return path
