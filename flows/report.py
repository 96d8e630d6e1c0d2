"""
The report of a run: markdown and rows for Prefect's artifacts.

Much of the text in it is an attacker's. Whatever a template shows is escaped, so that it can be
no link, image, HTML or table of its own.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.model.incidents import Incident
from tasks.model.redaction import redact
from tasks.model.runs import RunSummary
from tasks.model.text import cut, make_visible
from tasks.model.verdicts import Conclusion
from tasks.notify.message import count_for_people

MAX_NAMED = 20
"""Objects, addresses, incidents or sentences that a run names one by one."""
MAX_ROWS = 500
"""Incidents in a table artifact, which a browser loads whole; all of them are in the database."""

_LONGEST_TEXT = 300
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


@dataclass(frozen=True, slots=True)
class _Markdown:
    """Markup of ours."""

    text: str


def render_report(run: RunSummary) -> str:
    """The run as markdown: coverage first, then what was found, told, spent, missed and retried."""
    return (
        _environment()
        .get_template("report.md.j2")
        .render(
            kind=run.kind,
            source=run.source,
            state=_Markdown(f"**{run.state}**"),
            coverage=_Markdown(f"**{run.coverage}**"),
            lines=run.lines,
            lines_unparsed=run.lines_unparsed,
            size=_Markdown(format_size(run.size_bytes)),
            duration=_Markdown(f"{run.duration_seconds:,.0f} s"),
            name=run.name,
            namespace=run.namespace,
            started_at=run.started_at,
            finished_at=run.finished_at,
            suspects=run.suspects,
            incidents=[_Row(c) for c in run.incidents],
            benign=run.benign,
            deliveries=sorted(run.deliveries.items()),
            calls=run.usage.calls,
            input_tokens=run.usage.input_tokens,
            output_tokens=run.usage.output_tokens,
            cost=_Markdown(format_cost(run.usage.cost_usd)),
            searches=run.searches,
            outages=run.outages,
            failures=run.failures,
            degradations=run.degradations,
            notes=run.notes,
            unread=[("Not read", run.skipped), ("Quarantined", run.quarantined)],
            unparsed=[(key, s, redact(s.line).text) for key, s in run.unparsed],
            limit=MAX_NAMED,
        )
        .strip()
        + "\n"
    )


def incident_rows(run: RunSummary) -> list[dict[str, str | int]]:
    """The worst incidents of a run, worst first, for a table artifact; plain text, made visible."""
    return [
        {
            "severity": row.severity,
            "source_ip": row.source_ip,
            "what": row.what,
            "events": row.request_count,
            "first_seen": f"{row.first_seen:%Y-%m-%d %H:%M}",
            "last_seen": f"{row.last_seen:%Y-%m-%d %H:%M}",
            "status": row.status,
            "confidence": row.confidence,
            "analyst": row.analyst,
            "techniques": row.techniques,
            "summary": row.summary,
            "recommended_action": row.recommended_action,
            "id": row.id,
        }
        for row in (_Row(c) for c in run.incidents[:MAX_ROWS])
    ]


def format_count(number: int, noun: str) -> str:
    """
    So many of them, in English.

    >>> format_count(1, "incident"), format_count(3800, "line")
    ('1 incident', '3,800 lines')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_size(size_bytes: int) -> str:
    """
    *size_bytes* in the largest fitting unit.

    >>> format_size(999), format_size(1_500_000)
    ('999 B', '1.5 MB')
    """
    size, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.0f} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"


def format_cost(cost_usd: float) -> str:
    """
    US dollars, with as many places as a cheap run needs.

    >>> format_cost(0), format_cost(0.00042), format_cost(12.5)
    ('0.00 USD', '0.0004 USD', '12.50 USD')
    """
    return f"{cost_usd:,.4f} USD" if 0 < cost_usd < 0.1 else f"{cost_usd:,.2f} USD"


class _Row:
    """A conclusion in one line, for people."""

    def __init__(self, conclusion: Conclusion) -> None:
        incident, verdict = conclusion.incident, conclusion.judgement.verdict
        self.id = incident.id
        self.severity = incident.severity.value
        self.source_ip = make_visible(incident.subject)
        family = incident.family.label
        attack_type = make_visible(verdict.probable_attack_type)
        is_said = attack_type.lower().startswith(family.lower())
        self.what = attack_type if is_said else f"{family}: {attack_type}"
        self.status = incident.status.replace("_", " ")
        self.request_count, _ = count_for_people(incident)
        self.first_seen = incident.first_seen
        self.last_seen = incident.last_seen
        self.when = _Markdown(_say_when(incident))
        self.confidence = verdict.confidence_level.value
        self.analyst = conclusion.judgement.analyst.value
        self.techniques = ", ".join(incident.techniques)
        self.summary = make_visible(verdict.summary)
        self.recommended_action = make_visible(verdict.recommended_action)


def _say_when(incident: Incident) -> str:
    """To the minute, as events are counted; short, for the UI cuts wide tables off."""
    start, end = incident.first_seen, incident.last_seen
    if start == end:
        return f"{start:%Y-%m-%d %H:%M}"
    if start.date() == end.date():
        return f"{start:%Y-%m-%d %H:%M}-{end:%H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def _show(value: object) -> str:
    """*value* as markdown that shows it; every text but our own markup is escaped."""
    if isinstance(value, _Markdown):
        return value.text
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int):
        return f"{value:,}"
    return escape_markdown(cut(make_visible(str(value)), _LONGEST_TEXT))


def escape_markdown(text: str) -> str:
    r"""
    One line of *text* as markdown that renders as that text, also in a table.

    CommonMark lets every ASCII punctuation character be escaped, and what is escaped starts
    no link, image, HTML, autolink, entity, code, emphasis or table cell.

    >>> escape_markdown("<b>|`")
    '\\<b\\>\\|\\`'
    """
    return _PUNCTUATION.sub(r"\\\1", text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # noqa: S701 -- not HTML: _show escapes for markdown
        finalize=_show,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["of"] = format_count
    return environment
