"""What the model may cost: worst first, then less of each, then the rules; everybody is told."""

import json
from datetime import timedelta

from tests import scans
from tests.scans import START, request, scan
from tests.servers import bedrock as model

IPS = [f"45.92.0.{n}" for n in range(1, 7)]
CAP = 30_000
"""Six calls on small samples, or three on full ones and one on a small one."""


def long_attack(source_ip):
    """Twenty long lines of one attacker over hours, so that there is something to leave out."""
    return "".join(
        request(
            source_ip,
            f"/item?id={n}+UNION+ALL+SELECT+1,user,password+FROM+users--{'x' * 400}",
            START + timedelta(minutes=50 * n),
        )
        for n in range(20)
    )


def bill_as_estimated(call):
    """An answer that costs about what was thought."""
    reply = model.true_positive()(call)
    body = json.loads(reply.body)
    characters = len(call.system) + len(json.dumps(call.document))
    usage = {"inputTokens": 1400 + characters // 3, "outputTokens": 1500}
    body["usage"] = usage | {"totalTokens": sum(usage.values())}
    reply.body = json.dumps(body).encode()
    return reply


def test_at_the_end_of_a_budget_the_sample_shrinks_before_the_rules_answer(
    database, bedrock, telegram, environ, tmp_path
):
    """In one run: three on all lines, one on some of them, two by rules; the cap holds."""
    environ(MIDDLEWATCH_BUDGET_TOKENS_PER_RUN=str(CAP), MIDDLEWATCH_BEDROCK_CONCURRENCY="1")
    logs = scans.write_logs(tmp_path / "logs", {"a.log": "".join(map(long_attack, IPS))})
    bedrock.judge_everyone(bill_as_estimated)

    summary = scan(logs)

    judged = scans.rows(database, "SELECT analyst, analyst_reason FROM incidents")
    [sample] = [reason for analyst, reason in judged if analyst == "bedrock" and reason]
    by_rules = [reason for analyst, reason in judged if analyst == "rules"]
    assert [len(call.document["lines"]) for call in bedrock.calls] == [20, 20, 20, 5]
    assert sample.startswith("budget: the cap of 30,000 tokens per run is reached")
    assert sample.endswith("so the model saw a smaller sample of the lines.")
    assert len(by_rules) == 2
    assert all(reason.startswith("budget") for reason in by_rules)
    assert summary.usage.input_tokens + summary.usage.output_tokens <= CAP
    assert sorted(m.text.count("smaller sample") for m in telegram.messages) == [0, 0, 0, 0, 0, 1]
    assert [outage.service for outage in summary.outages] == ["Budget"]
    assert f"1 verdict on a smaller sample: {sample}" in summary.degradations
