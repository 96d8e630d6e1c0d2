"""Conclusions to test with: an ordinary one, and any that hostile logs and models can make."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tasks.model.incidents import (
    Activity,
    EvidenceLine,
    Family,
    Finding,
    Incident,
    Severity,
    Status,
)
from tasks.model.verdicts import (
    AnalystName,
    Citation,
    Conclusion,
    Confidence,
    Judgement,
    Reference,
    Research,
    Verdict,
    VerdictKind,
)

START = datetime(2026, 2, 20, 22, 12, tzinfo=UTC)
END = datetime(2026, 2, 20, 22, 16, tzinfo=UTC)
LINE = (
    "198.51.100.7 - - [20/Feb/2026:22:12:45 +0000] \"GET /login.php?user=admin' AND"
    ' SLEEP(5)-- HTTP/1.1" 200 512 "-" "Mozilla/5.0"'
)

FINDING = Finding(
    rule_id="sql-injection",
    rule_version=1,
    rule_title="SQL injection in requests",
    family=Family.SQL_INJECTION,
    severity=Severity.HIGH,
    techniques=("T1190",),
    is_signature=True,
    timespan_seconds=600,
    threshold=1,
    count=7,
    event_count=9,
    window_start=START,
    first_seen=START,
    last_seen=END,
)
INCIDENT = Incident(
    id="incident-1",
    namespace="live",
    source_ip="198.51.100.7",
    family=Family.SQL_INJECTION,
    severity=Severity.HIGH,
    status=Status.CONFIRMED,
    first_seen=START,
    last_seen=END,
    activity=Activity(37, {"2xx": 30, "5xx": 7}),
    findings=(FINDING,),
    evidence=(EvidenceLine("web-1/access.log", 12, LINE, ("sql-injection",)),),
)
VERDICT = Verdict(
    ip_address="198.51.100.7",
    verdict=VerdictKind.TRUE_POSITIVE,
    severity=Severity.HIGH,
    probable_attack_type="Time-based SQL injection on the login form",
    confidence_level=Confidence.HIGH,
    summary="The client put SLEEP(5) into the user parameter and the answers came late.",
    recommended_action="Block the address and check the login form for string-built SQL.",
    evidence=(Citation(line="1", quote="SLEEP(5)"),),
)
CONCLUSION = Conclusion(
    INCIDENT,
    Judgement(VERDICT, AnalystName.BEDROCK, model_id="anthropic.claude-haiku"),
    Research(references=(Reference("SQL Injection", "https://owasp.org/sqli", "About it."),)),
)


def conclusion(*, source_ip: str = INCIDENT.source_ip, **changes: object) -> Conclusion:
    """CONCLUSION with another address and other fields of its incident or its verdict."""
    of_incident = {k: v for k, v in changes.items() if k in Incident.__dataclass_fields__}
    of_verdict = {k: v for k, v in changes.items() if k in Verdict.model_fields}
    assert changes.keys() == of_incident.keys() | of_verdict.keys()
    verdict = VERDICT.model_copy(update={"ip_address": source_ip, **of_verdict})
    return replace(
        CONCLUSION,
        incident=replace(
            INCIDENT,
            **{"id": f"incident-{source_ip}", "source_ip": source_ip, **of_incident},  # type: ignore[arg-type]
        ),
        judgement=replace(CONCLUSION.judgement, verdict=verdict),
    )


_BAIT = st.sampled_from(
    [
        "<b>", "</code>", "<a href='x'>", "&lt;", "&amp", "&#0;", "\x00", "\x1b[2J", "\u202e",
        "\u200b", "\U000e0041", "\ud800", "😀", "`", "``", "|", "\n| a |\n", "](http://evil.test)",
        "![x](http://evil.test/p.png)", "http://evil.test", "www.evil.test", "@admin", "/start",
        "[bold red]", "[/]", "{{ 7*7 }}", "# h", "- ", "<!--", "\\", '"' * 50, "<" * 200,
        "漢" * 300, "\u3164",
    ]
)  # fmt: skip


def hostile(max_size: int = 2000) -> st.SearchStrategy[str]:
    """Any text up to *max_size*, often with what breaks out of markup."""
    pieces = st.lists(_BAIT | st.text(st.characters(), max_size=20), max_size=8)
    return pieces.map(lambda p: "".join(p)[:max_size])


_moments = st.integers(0, 60 * 24 * 400).map(lambda m: START + timedelta(minutes=m))
_findings = st.builds(
    Finding,
    rule_id=hostile(50),
    rule_version=st.integers(1, 9),
    rule_title=hostile(300),
    family=st.sampled_from(Family),
    severity=st.sampled_from(Severity),
    techniques=st.lists(st.from_regex(r"T\d{4}(\.\d{3})?", fullmatch=True), max_size=30).map(tuple),
    is_signature=st.booleans(),
    timespan_seconds=st.sampled_from([60, 600, 3600]),
    threshold=st.integers(1, 10**6),
    count=st.integers(1, 10**9),
    event_count=st.integers(1, 10**12),
    window_start=_moments,
    first_seen=_moments,
    last_seen=_moments,
)
_incidents = st.builds(
    Incident,
    id=st.uuids().map(str),
    namespace=st.just("live"),
    source_ip=st.sampled_from(["198.51.100.7", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"])
    | hostile(60),
    family=st.sampled_from(Family),
    severity=st.sampled_from(Severity),
    status=st.sampled_from([Status.CONFIRMED, Status.NEEDS_REVIEW]),
    first_seen=_moments,
    last_seen=_moments,
    activity=st.builds(
        Activity,
        st.integers(0, 10**12),
        st.dictionaries(
            st.sampled_from(["2xx", "3xx", "4xx", "5xx", "ssh_success", "ssh_failure"]),
            st.integers(0, 10**12),
        ),
    ),
    findings=st.lists(_findings, min_size=1, max_size=6).map(tuple),
    evidence=st.lists(
        st.builds(
            EvidenceLine,
            object_key=hostile(1100),
            line_number=st.integers(1, 10**12),
            line=hostile(),
            rule_ids=st.sampled_from([(), ("sql-injection",)]),
        ),
        max_size=6,
    ).map(tuple),
)


def _sound(max_size: int) -> st.SearchStrategy[str]:
    """Hostile text that pydantic lets through: it refuses lone surrogates."""
    return hostile(max_size).map(lambda text: text.encode(errors="replace").decode())


_verdicts = st.builds(
    Verdict,
    ip_address=_sound(50),
    verdict=st.sampled_from(VerdictKind),
    severity=st.sampled_from(Severity),
    probable_attack_type=_sound(200),
    confidence_level=st.sampled_from(Confidence),
    summary=_sound(2000),
    recommended_action=_sound(1000),
    evidence=st.lists(
        st.builds(
            Citation,
            line=st.integers(-1, 22).map(str) | st.sampled_from(["", "²", "٣", "x"]),
            quote=_sound(100),
        ),
        max_size=6,
    ).map(tuple),
)
conclusions: st.SearchStrategy[Conclusion] = st.builds(
    Conclusion,
    _incidents,
    st.builds(
        Judgement,
        _verdicts,
        st.sampled_from(AnalystName),
        analyst_reason=st.none() | hostile(300),
        model_id=st.none() | hostile(200),
    ),
    st.builds(
        Research,
        references=st.lists(
            st.builds(
                Reference,
                title=hostile(300),
                url=st.sampled_from(
                    [
                        "https://example.org/a?b=1&c=2",
                        "javascript:alert(1)",
                        "http://[",
                        "https://example.org@evil.test/",
                        'https://example.org/"><b>',
                        "https://example.org/" + "x" * 3000,
                    ]
                )
                | hostile(100),
                content=hostile(500),
            ),
            max_size=4,
        ).map(tuple),
    ),
)
