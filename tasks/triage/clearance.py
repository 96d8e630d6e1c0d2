"""When a model's "benign" is believed: where nothing but counts accuses, and nobody talks."""

from collections.abc import Sequence

from tasks.model.incidents import Incident
from tasks.triage.citations import ShownLine
from tasks.triage.speech import speaks


def why_not_cleared(incident: Incident, shown: Sequence[ShownLine]) -> str | None:
    """Why a model's benign verdict on *incident* does not close it; None where it does."""
    if incident.is_injection_suspected:
        return "its lines try to tell the analyst what to say"
    if incident.has_signature_evidence:
        return "the rules stand on the content of its lines"
    if not shown:
        return "no line of it was shown"
    if any(speaks(line.text) for line in shown):
        return "its lines hold text that may have talked the model into it"
    return None
