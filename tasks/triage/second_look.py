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

    Web pages are written by strangers, too, so they alone clear nobody: where the second look
    finds benign what the first did not, the verdict is that people have to decide. And the rules
    analyst, who answers where the second call failed, does not overrule the model's first look.
    """
    usage = first.usage + second.usage
    if second.analyst is AnalystName.RULES:
        return replace(first, usage=usage)
    rejected = first.citations_rejected + second.citations_rejected
    merged = replace(second, usage=usage, citations_rejected=rejected)
    if not second.verdict.verdict.is_benign or first.verdict.verdict.is_benign:
        return merged
    disagreement = (
        f"The log lines looked {first.verdict.verdict.replace('_', ' ')}, web pages found"
        f" about them say otherwise; decide by hand. {second.verdict.summary}"
    )
    undecided = {
        "verdict": VerdictKind.INSUFFICIENT_DATA,
        "summary": cut(disagreement, 2000),
        "evidence": second.verdict.evidence or first.verdict.evidence,
    }
    return replace(merged, verdict=second.verdict.model_copy(update=undecided))
