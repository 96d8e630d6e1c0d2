"""Every suspect gets a verdict; the guilty ones are researched."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from prefect import unmapped
from prefect.futures import PrefectFuture

from flows.lifecycle import Tale, error_of, explain, whole
from flows.report import format_count
from tasks.model.budgets import CAP_REACHED
from tasks.model.incidents import Suspect
from tasks.model.runs import Run
from tasks.model.verdicts import AnalystName, Judged, Judgement, Research
from tasks.research import task as research
from tasks.settings import settings
from tasks.store.incidents import explain_unreadable
from tasks.triage.plan import TriagePlan
from tasks.triage.second_look import is_worth_second_look, merge_looks
from tasks.triage.task import (
    explain_missing_analyst,
    plan_triage,
    remember_verdicts,
    triage_suspect,
    triage_without_call,
)

MAX_RESEARCHED = 50
"""Suspects of one run, worst first; a flood is not worth thousands of searches."""
PART = 500
"""Suspects that one task judges together."""


def judge_suspects(
    run: Run,
    suspects: Sequence[Suspect],
    tale: Tale,
    analyst: AnalystName | None = None,
    *,
    with_research: bool = True,
) -> list[Judged]:
    """
    Every suspect has a verdict; the guilty ones are researched and looked at once more.

    Args:
        run: Whose budget pays.
        suspects: Worst first.
        tale: Is told what was done in a lesser way.
        analyst: Other than the environment says.
        with_research: Search the web, where it is configured.
    """
    is_searched = with_research and research.is_on(settings())
    if with_research and not is_searched:
        tale.notes.append("Web research is off: set TAVILY_API_KEY to have it.")
    if not suspects:
        return []
    analyst = analyst or settings().analyst
    missing = explain_missing_analyst(analyst)
    ask = partial(triage_suspect.submit, run=run, analyst=analyst, unavailable=missing)
    plan = plan_triage(run, whole(suspects), analyst, missing)
    looked = _look(plan, ask, tale)
    judgements = looked | _judge_others(run, plan, looked, tale)
    judged = [
        Judged(suspect, judgements[suspect.incident_id])
        for suspect in suspects
        if suspect.incident_id in judgements
    ]
    if is_searched:
        judged = _research(run, judged, plan, ask, tale)
    tale.judged = judged
    _note_services(judged, tale)
    tale.degradations += _degradations(judged)
    if redacted := sum(j.judgement.redacted for j in judged):
        tale.notes.append(f"{format_count(redacted, 'secret')} in log lines hidden from the model.")
    if replaced := sum(j.judgement.texts_replaced for j in judged):
        tale.notes.append(
            f"{format_count(replaced, 'text')} of the model not shown: the rules analyst's are in"
            " their place."
        )
    return judged


def _look(
    plan: TriagePlan, ask: Callable[..., PrefectFuture[Judgement]], tale: Tale
) -> dict[str, Judgement]:
    """The judgements on those that are looked at one by one, by incident id."""
    futures = [ask(suspect) for suspect in plan.asked]
    return {
        suspect.incident_id: judgement
        for suspect, future in zip(plan.asked, futures, strict=True)
        if (judgement := _judgement(future, suspect, tale)) is not None
    }


def _judge_others(
    run: Run, plan: TriagePlan, looked: Mapping[str, Judgement], tale: Tale
) -> dict[str, Judgement]:
    """The judgements on those that have no call of their own, by incident id."""
    others = [*plan.alike, *((suspect, None) for suspect in plan.left)]
    said = {}
    if plan.alike and looked:
        asked = [suspect for suspect in plan.asked if suspect.incident_id in looked]
        said = remember_verdicts(whole(asked), whole([looked[s.incident_id] for s in asked]))
    parts = [others[start : start + PART] for start in range(0, len(others), PART)]
    futures = [
        triage_without_call.submit(run, number, whole(part), plan.reason, whole(said))
        for number, part in enumerate(parts, start=1)
    ]
    judged: dict[str, Judgement] = {}
    for part, future in zip(parts, futures, strict=True):
        future.wait()
        if future.state.is_completed():
            for (suspect, _), judgement in zip(part, future.result(), strict=True):
                if judgement is not None:
                    judged[suspect.incident_id] = judgement
                else:
                    why = explain_unreadable(suspect.incident_id)
                    tale.failures.append(f"{suspect.source_ip} was not judged: {why}")
        else:
            reason = explain(error_of(future))
            tale.failures.append(f"{len(part)} suspects were not judged: {reason}")
    return judged


def _judgement(future: PrefectFuture[Judgement], suspect: Suspect, tale: Tale) -> Judgement | None:
    future.wait()
    if not future.state.is_completed():
        reason = explain(error_of(future))
        tale.failures.append(f"{suspect.source_ip} was not judged: {reason}")
        return None
    judgement = future.result()
    tale.usage += judgement.usage
    return judgement


def _research(
    run: Run,
    judged: Sequence[Judged],
    plan: TriagePlan,
    ask: Callable[..., PrefectFuture[Judgement]],
    tale: Tale,
) -> list[Judged]:
    looked_at = {suspect.incident_id for suspect in plan.asked}
    guilty = [j for j in judged if not j.judgement.verdict.verdict.is_benign]
    worth_it = [j for j in guilty if j.suspect.incident_id in looked_at or not looked_at]
    chosen = worth_it[:MAX_RESEARCHED]
    if len(chosen) < len(guilty):
        tale.degradations.append(
            f"{format_count(len(guilty) - len(chosen), 'suspect')} not researched: those that"
            f" behave alike are researched once, and {MAX_RESEARCHED} in a run."
        )
    futures = research.research_suspect.map(unmapped(run), [j.suspect for j in chosen])
    found = {}
    for item, future in zip(chosen, futures, strict=True):
        future.wait()
        found[item.suspect.incident_id] = (
            future.result()
            if future.state.is_completed()
            else Research(error=explain(error_of(future)))
        )
    second = {
        item.suspect.incident_id: ask(item.suspect, research=found[item.suspect.incident_id])
        for item in chosen
        if is_worth_second_look(item.judgement, found[item.suspect.incident_id])
    }
    return [_look_again(item, found, second, tale) for item in judged]


def _look_again(
    item: Judged,
    found: Mapping[str, Research],
    second: Mapping[str, PrefectFuture[Judgement]],
    tale: Tale,
) -> Judged:
    incident_id = item.suspect.incident_id
    researched = found.get(incident_id, item.research)
    again = None
    if incident_id in second:
        again = _judgement(second[incident_id], item.suspect, tale)
    judgement = item.judgement if again is None else merge_looks(item.judgement, again)
    return Judged(item.suspect, judgement, researched)


def _degradations(judged: Sequence[Judged]) -> list[str]:
    reasons = Counter(
        (_how(j.judgement), j.judgement.analyst_reason)
        for j in judged
        if j.judgement.analyst_reason
    )
    less_research = Counter(j.research.error for j in judged if j.research.error)
    return [
        *(f"{format_count(n, 'verdict')} {how}: {reason}" for (how, reason), n in reasons.items()),
        *(
            f"{format_count(n, 'suspect')} with less research: {reason}"
            for reason, n in less_research.items()
        ),
    ]


def _note_services(judged: Sequence[Judged], tale: Tale) -> None:
    """Which of model, budget and web did their part; one that nobody asked did nothing."""
    judgements = [j.judgement for j in judged]
    asked = [j for j in judgements if j.analyst is AnalystName.BEDROCK and j.usage.calls]
    by_rules = [j.analyst_reason for j in judgements if j.analyst is AnalystName.RULES]
    smaller = [j.analyst_reason for j in asked if j.analyst_reason]
    spent = [r for r in (*by_rules, *smaller) if r and r.startswith(CAP_REACHED)]
    if asked or spent:
        tale.note_service("Budget", worked=not spent)
    if asked or any(r and not r.startswith("budget") for r in by_rules):
        tale.note_service("Bedrock", worked=bool(asked))
    for found in (j.research for j in judged):
        if found.error or found.searches:
            tale.note_service("Tavily", worked=found.error is None)


def _how(judgement: Judgement) -> str:
    if judgement.analyst is AnalystName.RULES:
        return "by the rules analyst"
    return "on a smaller sample" if judgement.usage.calls else "shared"
