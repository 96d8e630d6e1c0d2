"""What a run says on a terminal: alerts where there is no channel, and the table at its end."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flows.report import format_cost, format_count, format_size
from tasks.model.incidents import Incident, Severity, Status
from tasks.model.runs import RunState, RunSummary
from tasks.model.text import cut, make_visible
from tasks.model.verdicts import Conclusion
from tasks.notify.message import Message, count_for_people

MAX_LISTED = 50
"""Incidents, worst first, that fit on a few screens."""

_COLOURS = {
    Severity.CRITICAL: "bold white on red",
    Severity.HIGH: "bold red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFORMATIONAL: "dim",
}
_STATE_COLOURS = {
    RunState.DONE: "bold green",
    RunState.INCOMPLETE: "bold yellow",
    RunState.FAILED: "bold red",
}


def print_alert(message: Message, console: Console) -> None:
    """*message* is on the terminal as it would be in the channel."""
    body = Text("\n".join(make_visible(line) for line in message.plain.split("\n")))
    console.print(
        Panel(body, title="alert", title_align="left", border_style=_COLOURS[message.severity])
    )


def print_complaint(sentence: str) -> None:
    """*sentence* is on stderr, where a name in it can be no control sequence."""
    Console(stderr=True).print(Text(make_visible(sentence), style="bold red"), soft_wrap=True)


def print_run(run: RunSummary, console: Console, where_to_look: Sequence[str] = ()) -> None:
    """
    The end of *run* is on the terminal: incidents, coverage, cost, failures.

    Args:
        run: Its text comes from logs and the model; none of it is markup or a control sequence.
        console: Where to.
        where_to_look: Lines that name commands, files and pages; printed as they are.
    """
    parts: list[RenderableType] = []
    if run.incidents:
        parts.append(_incident_table(run.incidents[:MAX_LISTED]))
        if (more := len(run.incidents) - MAX_LISTED) > 0:
            parts.append(Text(f"and {more:,} more, none of them worse, in the table incidents\n"))
    parts.append(_facts(run))
    if where_to_look:
        parts.append(Text("\nLook further:", style="bold"))
        parts.extend(Text(f"  {line}") for line in where_to_look)
    console.print(Group(*parts))


def _incident_table(incidents: Sequence[Conclusion]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Severity", no_wrap=True)
    table.add_column("Source IP", overflow="fold", min_width=15)
    table.add_column("What happened", min_width=12)
    table.add_column("Events", justify="right", no_wrap=True)
    table.add_column("When (UTC)", min_width=19)
    for conclusion in incidents:
        incident = conclusion.incident
        table.add_row(
            Text(incident.severity.value, style=_COLOURS[incident.severity]),
            _plain(incident.source_ip, 45),
            _plain(_say_what(conclusion), 150),
            f"{count_for_people(incident)[0]:,}",
            _say_when(incident),
        )
    return table


def _say_what(conclusion: Conclusion) -> str:
    check = "please check, " if conclusion.incident.status is Status.NEEDS_REVIEW else ""
    label = conclusion.incident.family.label
    attack_type = conclusion.judgement.verdict.probable_attack_type
    is_said = attack_type.lower().startswith(label.lower())
    return check + (attack_type if is_said else f"{label}: {attack_type}")


def _say_when(incident: Incident) -> str:
    start, end = incident.first_seen, incident.last_seen
    if start == end:
        return f"{start:%m-%d %H:%M}"
    if start.date() == end.date():
        return f"{start:%m-%d %H:%M}-{end:%H:%M}"
    return f"{start:%m-%d %H:%M} to {end:%m-%d %H:%M}"


def _facts(run: RunSummary) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    facts.add_row("Run", Text(f"{make_visible(run.name)}: {run.state}", _STATE_COLOURS[run.state]))
    facts.add_row("Coverage", Text(str(run.coverage), "" if run.coverage.holds else "bold red"))
    unparsed = f", {run.lines_unparsed:,} not understood" if run.lines_unparsed else ""
    facts.add_row(
        "Read",
        f"{format_count(run.lines, 'line')}, {format_size(run.size_bytes)},"
        f" in {run.duration_seconds:,.1f} s{unparsed}",
    )
    facts.add_row(
        "Found",
        "nothing new"
        if run.is_idle
        else f"{format_count(run.suspects, 'suspect')},"
        f" {format_count(len(run.incidents), 'incident')}, {run.benign:,} cleared",
    )
    if run.deliveries:
        told = ", ".join(f"{count:,} {state}" for state, count in sorted(run.deliveries.items()))
        facts.add_row("Told", told)
    facts.add_row(
        "Cost",
        f"{format_count(run.usage.calls, 'model call')}, {run.usage.input_tokens:,} tokens in,"
        f" {run.usage.output_tokens:,} out, {format_cost(run.usage.cost_usd)};"
        f" {run.searches:,} search{'' if run.searches == 1 else 'es'}",
    )
    for_good = [skipped for skipped in run.skipped if not skipped.is_retried]
    for skipped in (*for_good, *run.quarantined)[:5]:
        facts.add_row("Not read", _plain(f"{skipped.object_key}: {skipped.reason}", 300))
    for note in run.notes:
        facts.add_row("Note", _plain(note, 300))
    for outage in run.outages:
        facts.add_row(Text("Not working", "yellow"), _plain(str(outage), 300))
    for degradation in run.degradations:
        facts.add_row(Text("Degraded", "yellow"), _plain(degradation, 300))
    for failure in run.failures:
        facts.add_row(Text("Retried next", "red"), _plain(failure, 300))
    return facts


def _plain(text: str, units: int) -> Text:
    """*text* in one line; a Text is never read as rich markup."""
    return Text(cut(make_visible(text), units))
