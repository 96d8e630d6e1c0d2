"""When a verdict is worth a second look, and what comes of two looks at the same suspect."""

from dataclasses import replace

from tasks.model.text import cut
from tasks.model.verdicts import AnalystName, Judgement, Research, VerdictKind


def is_worth_second_look(judgement: Judgement, research: Research) -> bool:
    """
    Whether a model judged without pages that there are.

    Pages from the cache count like pages of a fresh search: another suspect paid for them, but
    this one's analyst has not seen them.
    """
    return (
        judgement.analyst is AnalystName.BEDROCK
        and not judgement.verdict.verdict.is_benign
        and bool(research.references)
    )


def merge_looks(first: Judgement, second: Judgement) -> Judgement:
    """
    The second judgement, unless it is worth less than the first; with the usage of both.

    Web pages are written by strangers, too, so they alone clear nobody and lower no severity: where
    the second look finds benign what the first did not, people have to decide, and they read what
    the first said. And the rules analyst, who answers where the second call failed, does not
    overrule the model's first look.
    """
    usage = first.usage + second.usage
    if second.analyst is AnalystName.RULES:
        return replace(first, usage=usage)
    severity = max(first.verdict.severity, second.verdict.severity, key=lambda s: s.rank)
    merged = replace(
        second,
        verdict=second.verdict.model_copy(update={"severity": severity}),
        usage=usage,
        citations_rejected=first.citations_rejected + second.citations_rejected,
        texts_replaced=first.texts_replaced + second.texts_replaced,
    )
    if not second.verdict.verdict.is_benign or first.verdict.verdict.is_benign:
        return merged
    kind = first.verdict.verdict.replace("_", " ")
    disagreement = (
        f"The log lines looked {kind}, with web pages about them the model finds them"
        f" {second.verdict.verdict.replace('_', ' ')}: decide by hand. {first.verdict.summary}"
    )
    undecided = {
        "verdict": VerdictKind.INSUFFICIENT_DATA,
        "severity": severity,
        "summary": cut(disagreement, 2000),
    }
    return replace(merged, verdict=first.verdict.model_copy(update=undecided))
