"""Likeness: which suspects do the same, whatever their address, time and random bits."""

import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

from tasks.model.incidents import Incident
from tasks.model.objects import digest

_LINES = 5
_CHARACTERS = 400
_RANDOM = re.compile(r"[0-9a-f]{8,}|[a-z0-9_-]{20,}")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Likeness:
    """What two suspects have in common when it is equal."""

    evidence: str
    """Digest of the kind and of the evidence without address, times, numbers and random texts."""
    trick: str
    """Digest of the kind alone: which rules, which families, how bad."""


def find_likeness(incident: Incident) -> Likeness:
    """What *incident* has in common with those that do the same."""
    rules = sorted(f.rule_id for f in incident.findings)
    kind = (*incident.families, incident.severity, *rules)
    matched = [line.line for line in incident.evidence if line.rule_ids]
    lines = sorted({_normalise(line, incident.source_ip) for line in matched[:_LINES]})
    return Likeness(evidence=digest(*kind, *lines), trick=digest(*kind))


def _normalise(line: str, source_ip: str) -> str:
    text = unquote_plus(line[:_CHARACTERS].replace(source_ip, " ")).lower()
    return _NUMBER.sub("0", _RANDOM.sub("x", text))
