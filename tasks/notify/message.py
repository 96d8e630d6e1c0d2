"""
What people are told of incidents: Telegram HTML, and the same as plain text.

It wakes somebody who reads it on a phone: the first two lines say everything. All text in it that
comes from logs, the model or the web is an attacker's: made visible, cut, then escaped, and never
a link, mention or command.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.model.incidents import (
    EvidenceLine,
    Finding,
    Incident,
    Severity,
    Status,
)
from tasks.model.redaction import redact
from tasks.model.runs import order_of_urgency
from tasks.model.text import count_units, cut, make_visible
from tasks.model.verdicts import AnalystName, Conclusion, Judgement, Reference

LIMIT_UNITS = 4096
"""Longest message after entity parsing. Source: https://core.telegram.org/bots/api#sendmessage"""
_LIMIT_RAW_BYTES = 16_384  # Telegram's own server refuses more than 32,768
_DIGEST_LINES = 25
_LONGEST_URL = 300

_SYMBOLS = {
    Severity.CRITICAL: "🚨",
    Severity.HIGH: "🔴",
    Severity.MEDIUM: "🟠",
    Severity.LOW: "🟡",
    Severity.INFORMATIONAL: "⚪",
}
# What Telegram's clients make tappable: URLs, domains, addresses, mentions, hashtags, commands.
_TAPPABLE = re.compile(r"://|\w@\w|\.[^\W\d_]{2}|\d\.\d+\.\d|(?<!\w)[/@#$]\w")
_AROUND_WORDS = "\"'.,;:!?()[]"


@dataclass(frozen=True, slots=True)
class Message:
    """One text for one channel."""

    html: str
    """Telegram's HTML, valid, at most 4,096 UTF-16 units after entity parsing."""
    plain: str
    """The same without markup, at most 4,096 UTF-16 units; link targets in brackets."""
    severity: Severity
    """Of the worst incident in it."""


@dataclass(frozen=True, slots=True)
class RunLink:
    """Where the run can be looked at."""

    name: str
    url: str | None = None
    """None: there is no UI to link to."""


@dataclass(frozen=True, slots=True)
class _Room:
    """How much of the less important parts there is place for; sizes in UTF-16 units."""

    lines: int
    line: int
    summary: int
    action: int
    findings: int
    references: int


_ROOMS = (
    _Room(lines=5, line=300, summary=1000, action=500, findings=5, references=3),
    _Room(lines=4, line=220, summary=600, action=400, findings=4, references=2),
    _Room(lines=3, line=160, summary=400, action=300, findings=3, references=1),
    _Room(lines=3, line=120, summary=250, action=200, findings=2, references=0),
)


def incident_message(
    conclusion: Conclusion,
    run: RunLink,
    before: Conclusion | None = None,
    *,
    is_repeat: bool = False,
) -> Message:
    """
    One incident, told in as much detail as fits.

    Args:
        conclusion: The incident with its verdict and research.
        run: Where it was found.
        before: For an incident that was told already: what was said then, which is not repeated.
        is_repeat: The same may have been sent before.
    """
    html = ""
    for room in _ROOMS:
        described = _describe(conclusion, run, before, room)
        html = _render("incident.html.j2", {**described, "is_repeat": is_repeat})
        if _fits(html):
            break
    return Message(html, _plain(html), conclusion.incident.severity)


def digest_message(
    conclusions: Sequence[Conclusion],
    run: RunLink,
    changed: Collection[str] = (),
    *,
    is_repeat: bool = False,
) -> Message:
    """
    Many incidents in one message: counts, then the worst ones in a line each.

    Args:
        conclusions: One or more, in any order.
        run: Where all of them can be looked at.
        changed: Ids of incidents that were told already.
        is_repeat: Some of it may have been sent before.
    """
    ordered = sorted(conclusions, key=order_of_urgency)
    incidents = [c.incident for c in ordered]
    severities = Counter(i.severity for i in incidents)
    families = Counter(i.family.label for i in incidents)
    worst = incidents[0].severity
    values = {
        "symbol": _SYMBOLS[worst],
        "count": f"{len(incidents):,}",
        "severities": ", ".join(
            f"{severities[s]:,} {s}" for s in reversed(Severity) if severities[s]
        ),
        "reviews": sum(i.status is Status.NEEDS_REVIEW for i in incidents),
        "families": ", ".join(f"{label} {count:,}" for label, count in families.most_common()),
        "when": _when(min(i.first_seen for i in incidents), max(i.last_seen for i in incidents)),
        "lines": [_digest_line(i, i.id in changed) for i in incidents[:_DIGEST_LINES]],
        "more": max(0, len(incidents) - _DIGEST_LINES),
        "is_repeat": is_repeat,
        **_describe_run(run),
    }
    html = _render("digest.html.j2", values)
    return Message(html, _plain(html), worst)


def _digest_line(incident: Incident, is_changed: bool) -> dict[str, str]:
    notes = [
        *(["please check"] if incident.status is Status.NEEDS_REVIEW else []),
        *(["changed"] if is_changed else []),
    ]
    return {
        "symbol": _SYMBOLS[incident.severity],
        "source_ip": _clean(incident.source_ip, 45),
        "family": incident.family.label,
        "how_often": _how_often(incident),
        "since": f"{_utc(incident.first_seen):%m-%d %H:%M}",
        "note": ", ".join(notes),
    }


def _describe(
    conclusion: Conclusion, run: RunLink, before: Conclusion | None, room: _Room
) -> dict[str, object]:
    incident, verdict = conclusion.incident, conclusion.judgement.verdict
    attack_type = _clean(verdict.probable_attack_type, 120)
    is_summarised = before is not None and before.judgement.verdict.summary == verdict.summary
    return {
        "symbol": _SYMBOLS[incident.severity],
        "is_changed": before is not None,
        "needs_review": incident.status is Status.NEEDS_REVIEW,
        "severity": incident.severity.upper(),
        "family": incident.family.label,
        "source_ip": _clean(incident.subject, 90),
        "attack_type": "" if attack_type.lower() == incident.family.label.lower() else attack_type,
        "how_often": _how_often(incident),
        "when": _when(incident.first_seen, incident.last_seen),
        "changes": _changes(before.incident, incident) if before else [],
        "action": _clean(verdict.recommended_action, room.action),
        "summary": "" if is_summarised else _clean(verdict.summary, room.summary),
        "findings": _describe_findings(conclusion, before)[: room.findings],
        "responses": _describe_responses(incident),
        "evidence": _pick_evidence(conclusion, before, room),
        "references": _pick_links(_new_references(conclusion, before), room.references),
        "confidence": verdict.confidence_level.value,
        "techniques": cut(", ".join(incident.techniques), 100),
        **_describe_analyst(conclusion.judgement),
        **_describe_run(run),
    }


def _changes(before: Incident, incident: Incident) -> list[str]:
    """What is new since *before*, in words; never empty."""
    new = [f.label for f in incident.families if f not in before.families]
    changes = []
    if incident.severity is not before.severity:
        changes.append(f"severity {before.severity} → {incident.severity}")
    if new:
        changes.append(f"now also {', '.join(new)}")
    count = before.activity.request_count
    if incident.activity.request_count != count or not changes:
        # counted as before: an incident that had logins only may have more than those now
        changes.append(f"{count:,} → {_say_count(*_events(incident))}")
    return changes


def _new_references(conclusion: Conclusion, before: Conclusion | None) -> list[Reference]:
    told = {r.url for r in before.research.references} if before else set()
    return [r for r in conclusion.research.references if r.url not in told]


def count_for_people(incident: Incident) -> tuple[int, str]:
    """How much it was, and of what: ssh logins where there was nothing else, else all events."""
    logins = _logins(incident)
    if logins and logins == sum(incident.activity.responses.values()):
        return logins, "ssh login"
    return _events(incident)


def _events(incident: Incident) -> tuple[int, str]:
    return incident.activity.request_count, "event" if _logins(incident) else "request"


def _logins(incident: Incident) -> int:
    responses = incident.activity.responses
    return sum(n for kind, n in responses.items() if kind.startswith("ssh_"))


def _how_often(incident: Incident) -> str:
    return _say_count(*count_for_people(incident))


def _say_count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _describe_responses(incident: Incident) -> str:
    """Whether it worked, as far as the answers tell: `2xx 3, 4xx 20`."""
    return cut(
        ", ".join(
            f"{make_visible(kind).replace('_', ' ')} {count:,}"
            for kind, count in sorted(incident.activity.responses.items())
            if count
        ),
        120,
    )


def _describe_findings(conclusion: Conclusion, before: Conclusion | None) -> list[str]:
    """What the rules counted and was not told; the rules analyst has said it in the summary."""
    if conclusion.judgement.analyst is AnalystName.RULES:
        return []
    told = {f.rule_id for f in before.incident.findings} if before else set()
    return [_describe_finding(f) for f in conclusion.incident.findings if f.rule_id not in told]


def _describe_finding(finding: Finding) -> str:
    minutes = finding.timespan_seconds // 60
    title = _clean(finding.rule_title, 100)
    if finding.threshold <= 1:
        return f"{title}: {finding.event_count:,}"
    return f"{title}: {finding.count:,} in {minutes} min (limit {finding.threshold:,})"


def _describe_analyst(judgement: Judgement) -> dict[str, str]:
    if judgement.analyst is AnalystName.RULES:
        reason = _clean(judgement.analyst_reason or "", 200).rstrip(".")
        because = f"Rules analyst because: {reason}." if reason else ""
        return {"analyst": "Judged by rules", "reason": because}
    model = f" ({_clean(judgement.model_id, 100)})" if judgement.model_id else ""
    reason = _clean(judgement.analyst_reason or "", 300)
    return {"analyst": f"Judged by {judgement.analyst}{model}", "reason": reason}


def _describe_run(run: RunLink) -> dict[str, str | None]:
    return {"run_name": _clean(run.name, 80), "run_url": _safe_url(run.url or "")}


def _pick_evidence(
    conclusion: Conclusion, before: Conclusion | None, room: _Room
) -> list[tuple[str, str]]:
    """
    (where, excerpt) of the lines that the analyst cites, then of the strongest others.

    Lines that were on record when the incident was told last are not new to anybody.
    """
    lines = conclusion.incident.evidence
    known = {line.line for line in before.incident.evidence} if before else set()
    quotes: dict[int, str] = {}
    for citation in conclusion.judgement.verdict.evidence:
        if citation.line.isdecimal() and 0 < int(citation.line) <= len(lines):
            quotes.setdefault(int(citation.line) - 1, citation.quote)
    hits = [n for n, line in enumerate(lines) if line.rule_ids] or range(len(lines))
    new = [n for n in dict.fromkeys([*quotes, *hits]) if lines[n].line not in known]
    chosen = new[: room.lines]
    return [
        (_where(lines[n]), _excerpt(lines[n].line, quotes.get(n, ""), room.line)) for n in chosen
    ]


def _where(line: EvidenceLine) -> str:
    key = "/".join(redact(part).text for part in line.object_key.split("/"))
    return f"{_clean_end(key, 80)}:{line.line_number}"


def _excerpt(line: str, quote: str, units: int) -> str:
    """At most *units* of *line*: all of it, or what surrounds *quote*, or its beginning."""
    line, quote = make_visible(redact(line).text), make_visible(redact(quote).text)
    if count_units(line) <= units:
        return line
    start = line.find(quote) if quote else 0
    # a quarter of the room shows what comes before the quote
    start = max(0, start - units // 4) if start > units // 2 else 0
    return cut(f"…{line[start:]}" if start else line, units)


def _pick_links(references: Sequence[Reference], count: int) -> list[tuple[str, str]]:
    """(title with its host, URL) of references that a person may tap."""
    links = []
    for reference in references:
        if url := _safe_url(reference.url):
            host = _clean(urlsplit(url).hostname or "", 60)
            title = _clean(reference.title, 80)
            links.append((f"{title} ({host})" if title else host, url))
    return links[:count]


def _safe_url(url: str) -> str | None:
    """*url* when it is http or https, says plainly where it leads, and is not endless."""
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        return None
    is_printable = url.isascii() and url.isprintable() and not re.search(r"[\s\"'<>\\`]", url)
    return url if is_plain and is_printable and len(url) <= _LONGEST_URL else None


def _when(first: datetime, last: datetime) -> str:
    start, end = _utc(first), _utc(last)
    if f"{start:%Y-%m-%d %H:%M}" == f"{end:%Y-%m-%d %H:%M}":
        return f"{start:%Y-%m-%d %H:%M} UTC"
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M}–{end:%H:%M} UTC"
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M} UTC"


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _clean(text: str, units: int) -> str:
    return cut(make_visible(text), units)


def _clean_end(text: str, units: int) -> str:
    """The end of *text*: of a path, the part that tells files apart."""
    visible = make_visible(text)
    return visible if count_units(visible) <= units else cut(visible[::-1], units)[::-1]


def _prose(text: str) -> Markup:
    """*text* escaped, with what a client would make tappable in code, where it is not."""
    return Markup(" ").join(_guard(word) for word in text.split(" "))


def _guard(word: str) -> Markup:
    core = word.strip(_AROUND_WORDS)
    if not core or not _TAPPABLE.search(word):
        return escape(word)
    before, after = word.split(core, 1)
    return escape(before) + Markup("<code>{}</code>").format(core) + escape(after)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    return environment


def _render(template: str, values: Mapping[str, object]) -> str:
    return _environment().get_template(template).render(values).strip()


def _strip_tags(html: str) -> str:
    # exact: in what we render every other < and > is escaped, in attributes, too
    return unescape(re.sub(r"<[^>]*>", "", html))


def _fits(html: str) -> bool:
    return count_units(_strip_tags(html)) <= LIMIT_UNITS and len(html.encode()) <= _LIMIT_RAW_BYTES


def _plain(html: str) -> str:
    with_targets = re.sub(r'<a href="([^"]*)">(.*?)</a>', r"\2 (\1)", html)
    return cut(_strip_tags(with_targets), LIMIT_UNITS)
