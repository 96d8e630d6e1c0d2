"""
What the model is shown: a policy without data, and one JSON document without instructions.

Log lines and web pages are written by strangers. They reach the model only as JSON strings, with
everything outside ASCII escaped, under ids that nobody outside this call can know.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from tasks.model.incidents import Finding, Incident
from tasks.model.objects import digest
from tasks.model.redaction import CUT, redact
from tasks.model.verdicts import Reference, Research
from tasks.triage.answer import Answer
from tasks.triage.citations import ShownLine

LINE_LIMIT = 500
"""Characters of one line in the document, after escaping."""
LINES_LIMIT = 12_000
"""Characters of all lines in the document, after escaping."""
SMALL_LINES_LIMIT = 1_500
"""The same where the budget does not cover more."""
SMALL_LINE_LIMIT = 300
RESEARCH_LIMIT = 4_000
"""Characters of all web pages in the document, after escaping."""

CUT_MARK = CUT


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request to the model."""

    system: str
    document: Mapping[str, Any]
    lines: tuple[ShownLine, ...]

    @property
    def redacted(self) -> int:
        """Secrets that were blacked out in the lines."""
        return sum(line.redacted for line in self.lines)

    @property
    def pages(self) -> tuple[str, ...]:
        """Addresses of the web pages that are shown."""
        return tuple(page["url"] for page in self.document.get("research", ()))

    @property
    def user(self) -> str:
        """The document as ASCII text: invisible characters of a line are visible escapes."""
        return json.dumps(self.document, ensure_ascii=True).replace("\x7f", r"\u007f")

    def correct(self, problem: str) -> "Prompt":
        """The same request after an answer that was refused; *problem* quotes no log text."""
        return Prompt(self.system, {**self.document, "correction": problem}, self.lines)


def write_prompt(
    incident: Incident, research: Research | None = None, *, is_small: bool = False
) -> Prompt:
    """
    Everything the model needs to judge *incident*, bounded in size.

    Args:
        incident: Whom it is about.
        research: For the second look: what the web says.
        is_small: Show fewer and shorter lines, the strongest ones.
    """
    nonce = secrets.token_hex(4)
    limits = (SMALL_LINES_LIMIT, SMALL_LINE_LIMIT) if is_small else (LINES_LIMIT, LINE_LIMIT)
    lines = tuple(_show_lines(incident, nonce, *limits))
    document: dict[str, Any] = {
        "nonce": nonce,
        "source_ip": incident.source_ip,
        "findings": [_describe(f) for f in incident.findings],
        "activity": {
            "request_count": incident.activity.request_count,
            "responses": incident.activity.responses,
            **_show_address(incident),
            "first_seen": incident.first_seen.isoformat(),
            "last_seen": incident.last_seen.isoformat(),
        },
        "lines": [{"id": line.id, "text": line.text} for line in lines],
    }
    if research is not None and research.references:
        document["research"] = list(_show_references(research.references))
    return Prompt(system_prompt(), document, lines)


def _show_address(incident: Incident) -> dict[str, str]:
    address = incident.activity.most_active_address
    return {} if address is None else {"most_active_address": address}


@cache
def system_prompt() -> str:
    """The policy: the same for every incident, so that it holds no data."""
    template = files("tasks.triage").joinpath("prompts/triage.txt").read_text("utf-8")
    return Template(template).substitute(cut_mark=json.dumps(CUT_MARK.strip()))


@cache
def prompt_sha256() -> str:
    """Identity of policy and answer schema; changes when either does, never with the data."""
    return digest(system_prompt(), _answer_schema())


def policy() -> str:
    """Everything that is said to the model in every call."""
    return f"{system_prompt()}\n{_answer_schema()}"


def _answer_schema() -> str:
    return json.dumps(Answer.model_json_schema(), sort_keys=True)


def shorten(text: str, limit: int) -> str:
    """
    *text* with its middle cut out if it takes more than *limit* characters as ASCII JSON.

    Measured after escaping: one emoji takes twelve, so a line of them cannot crowd out others.

    >>> shorten("GET /" + "A" * 100 + "/etc/passwd", 40)
    'GET /AAAAAAAAAAAAAA [...] AAA/etc/passwd'
    """
    if len(text) <= limit and _cost(text) <= limit:
        return text
    room = limit - _cost(CUT_MARK)
    head = _take(text, room * 3 // 5)
    tail = _take(reversed(text), room - room * 3 // 5)
    return head + CUT_MARK + tail[::-1]


def _show_lines(
    incident: Incident, nonce: str, lines_limit: int, line_limit: int
) -> Iterable[ShownLine]:
    room = lines_limit
    for position, evidence in enumerate(incident.evidence, start=1):
        redacted = redact(evidence.line)
        text = shorten(redacted.text, line_limit)
        room -= _cost(text)
        if room < 0:
            return
        count = redacted.counts.total()
        yield ShownLine(f"{nonce}-{position:02d}", position, text, redacted.text, count)


def _show_references(references: Iterable[Reference]) -> Iterable[dict[str, str]]:
    room = RESEARCH_LIMIT
    for reference in references:
        shown = {
            "title": shorten(reference.title, 200),
            "url": shorten(reference.url, 300),
            "content": shorten(reference.content, 500),
        }
        room -= sum(map(_cost, shown.values()))
        if room < 0:
            return
        yield shown


def _describe(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule_title,
        "family": finding.family,
        "severity": finding.severity,
        "techniques": finding.techniques,
        "looks_at": "content of the line" if finding.is_signature else "counts only",
        "most_in_one_window": finding.count,
        "threshold": finding.threshold,
        "window_seconds": finding.timespan_seconds,
        "events": finding.event_count,
        "first_seen": finding.first_seen.isoformat(),
        "last_seen": finding.last_seen.isoformat(),
    }


def _cost(text: str) -> int:
    return len(json.dumps(text)) - 2


def _take(characters: Iterable[str], room: int) -> str:
    taken = []
    for character in characters:
        room -= _cost(character)
        if room < 0:
            break
        taken.append(character)
    return "".join(taken)
