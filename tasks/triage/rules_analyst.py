"""
The analyst without a model: what the findings alone allow to say, always the same.

It answers where Bedrock is switched off, down, or has no usable answer, so that no suspect stays
without a verdict. It never clears anyone: a finding is at least suspicious.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network

from tasks.model.incidents import Family, Finding, Incident, Severity, is_system
from tasks.model.redaction import redact
from tasks.model.verdicts import (
    AnalystName,
    Citation,
    Confidence,
    Judgement,
    Verdict,
    VerdictKind,
)
from tasks.triage.citations import QUOTE_LIMIT

_MAX_CITATIONS = 3
_MAX_FINDINGS = 4
_ATTACK_NAMES = {
    Family.SQL_INJECTION: "SQL injection",
    Family.CROSS_SITE_SCRIPTING: "cross-site scripting",
    Family.PATH_TRAVERSAL: "path traversal",
    Family.REMOTE_CODE_EXECUTION: "remote code execution",
    Family.BRUTE_FORCE: "password guessing",
    Family.RECONNAISSANCE: "reconnaissance",
    Family.SCANNER: "vulnerability scan",
    Family.WEB_SCRAPING: "web scraping",
    Family.DENIAL_OF_SERVICE: "request flood",
    Family.OTHER: "unusual activity",
}
_CHECKS = {
    Family.SQL_INJECTION: "Find the page and parameter in the evidence, make sure that it binds"
    " its SQL parameters, and look in the database log of that time for data read or changed.",
    Family.CROSS_SITE_SCRIPTING: "Check whether the page in the evidence shows the parameter"
    " unescaped or has stored it; delete what was stored and end the sessions of users who saw it.",
    Family.PATH_TRAVERSAL: "Check whether an answer had the size of the file that was asked for;"
    " if so, change every secret in that file and keep the server inside its web root.",
    Family.REMOTE_CODE_EXECUTION: "Look on the host for new processes, files, cron jobs and"
    " outgoing connections of the web server's user since then; if there are any, take the host"
    " off the network before you clean up.",
    Family.RECONNAISSANCE: "Open the paths that were answered with success: none may give away"
    " secrets, backups, a repository or an admin page.",
    Family.SCANNER: "If nobody ordered a scan, see which of its requests were answered with"
    " success, and patch or close what it found.",
    Family.WEB_SCRAPING: "Limit requests per address at the proxy, and decide whether this data"
    " may be fetched in bulk.",
    Family.DENIAL_OF_SERVICE: "If the site is slow, limit requests per address at the proxy or"
    " load balancer; if it is an office, a partner or a load test of yours, put it on the"
    " allowlist.",
    Family.OTHER: "Read the lines in the evidence and decide whether this client is known to you.",
}
_DISTRUST = (
    "Believe nothing that its log lines say of themselves: they are written to talk an analyst into"
    " silence or into accusing somebody else."
)
_INTRUSIONS = {
    Family.SQL_INJECTION,
    Family.CROSS_SITE_SCRIPTING,
    Family.PATH_TRAVERSAL,
    Family.REMOTE_CODE_EXECUTION,
}
# RFC 1918, RFC 4193, loopback and link-local. Not ipaddress.is_private: that calls documentation
# and benchmarking ranges private, too.
_INTERNAL = [
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the answers of the servers say."""

    requests: int
    succeeded: int
    logins_failed: int
    logins_succeeded: int


def judge_by_rules(incident: Incident, reason: str | None = None) -> Judgement:
    """
    The verdict that follows from the findings of *incident*.

    Args:
        incident: With at least one finding.
        reason: Why the model that was asked for did not answer; None where none was asked for.
    """
    kind, confidence = _weigh(incident)
    verdict = Verdict(
        ip_address=incident.source_ip,
        verdict=kind,
        severity=_rate(incident),
        probable_attack_type=_name_attack(incident),
        confidence_level=confidence,
        summary=_summarise(incident),
        recommended_action=_advise(incident, kind),
        evidence=_cite(incident),
        techniques=incident.techniques,
    )
    return Judgement(verdict, AnalystName.RULES, reason)


def _weigh(incident: Incident) -> tuple[VerdictKind, Confidence]:
    if incident.has_signature_evidence:
        hits = sum(f.event_count for f in incident.findings if f.is_signature)
        is_sure = hits >= 3 or incident.severity.rank >= Severity.HIGH.rank
        return VerdictKind.TRUE_POSITIVE, Confidence.HIGH if is_sure else Confidence.MEDIUM
    excess = max(f.count / max(f.threshold, 1) for f in incident.findings)
    if incident.family is Family.BRUTE_FORCE:
        return VerdictKind.TRUE_POSITIVE, Confidence.HIGH if excess >= 3 else Confidence.MEDIUM
    if incident.family is Family.RECONNAISSANCE and excess >= 2:
        return VerdictKind.TRUE_POSITIVE, Confidence.HIGH if excess >= 5 else Confidence.MEDIUM
    # A count says how much, not why: an office behind one address is busy, too.
    return VerdictKind.SUSPICIOUS, Confidence.MEDIUM if excess >= 10 else Confidence.LOW


def _rate(incident: Incident) -> Severity:
    """The findings' severity; higher when the password guessing may have found one."""
    if _may_have_logged_in(incident):
        return max(incident.severity, Severity.HIGH, key=lambda s: s.rank)
    return incident.severity


def _name_attack(incident: Incident) -> str:
    first, *others = (_name_family(family, incident) for family in incident.families)
    name = first[0].upper() + first[1:]
    return f"{name}, with {_join(others)}" if others else name


def _name_family(family: Family, incident: Incident) -> str:
    if family is Family.OTHER and incident.is_injection_suspected:
        return "text that instructs the analyst"
    name = _ATTACK_NAMES[family]
    if family is Family.BRUTE_FORCE and _may_have_logged_in(incident):
        return "SSH login after password guessing"
    if family is Family.BRUTE_FORCE:
        return f"{'SSH' if _count(incident).logins_failed else 'web login'} {name}"
    return name


def _summarise(incident: Incident) -> str:
    counts = _count(incident)
    logins = counts.logins_failed + counts.logins_succeeded
    done = [
        text
        for text in (_number(counts.requests, "web request"), _number(logins, "ssh login attempt"))
        if text
    ]
    total = _join(done) or _number(incident.activity.request_count, "event")
    sentences = [f"{incident.source_ip} made {total} {_name_time(incident)}."]
    sentences += [_tell_finding(f) for f in incident.findings[:_MAX_FINDINGS]]
    if len(incident.findings) > _MAX_FINDINGS:
        sentences.append(f"{len(incident.findings) - _MAX_FINDINGS} more rules matched.")
    return " ".join([*sentences, *_tell_outcome(incident, counts)])


def _tell_finding(finding: Finding) -> str:
    window = _name_duration(finding.timespan_seconds)
    if finding.is_signature:
        return f"{finding.rule_title}: {_number(finding.event_count, 'line')}."
    return (
        f"{finding.rule_title}: {finding.count:,} within {window}, where"
        f" {finding.threshold:,} are suspicious."
    )


def _tell_outcome(incident: Incident, counts: _Counts) -> list[str]:
    told = []
    if counts.logins_succeeded:
        logins = _number(counts.logins_succeeded, "ssh login")
        told.append(f"{logins} from this address succeeded in the same time.")
    elif counts.logins_failed:
        told.append("No ssh login from this address succeeded in that time.")
    if counts.requests and not incident.has_signature_evidence:
        classes = sorted(c for c in incident.activity.responses if c.endswith("xx"))
        answers = _join([f"{incident.activity.responses[c]:,} with {c}" for c in classes])
        told.append(f"The server answered {answers}.")
    if counts.requests and _INTRUSIONS & set(incident.families):
        if counts.succeeded:
            told.append(
                f"The server answered {counts.succeeded:,} of the {counts.requests:,} requests"
                " with success (2xx), so an attempt may have worked."
            )
        else:
            told.append("No request was answered with success (2xx).")
    return told


def _advise(incident: Incident, kind: VerdictKind) -> str:
    steps = [_contain(incident.source_ip, kind)]
    if _may_have_logged_in(incident):
        steps.insert(
            0,
            "Find the account that logged in from this address now: unless its owner confirms the"
            " login, lock it, end its sessions and change its password.",
        )
    if incident.family is Family.BRUTE_FORCE:
        steps.append(_check_logins(incident))
    elif not (incident.family is Family.OTHER and incident.is_injection_suspected):
        steps.append(_CHECKS[incident.family])
    if incident.is_injection_suspected:
        steps.append(_DISTRUST)
    return " ".join(steps)


def _contain(source_ip: str, kind: VerdictKind) -> str:
    if _is_internal(source_ip):
        return (
            f"{source_ip} is inside your network: find the machine and its user before you block"
            " it. It may be taken over, run a scan that you ordered, or be a proxy that hides the"
            " true client."
        )
    if is_system(source_ip):
        return (
            f"Report this to the operator of {source_ip}, and limit what its addresses may do: it"
            " is too large to block without need."
        )
    if kind is VerdictKind.TRUE_POSITIVE:
        return f"Block {source_ip} at the firewall or web application firewall."
    return f"Watch {source_ip}, and limit or block it if this goes on."


def _check_logins(incident: Incident) -> str:
    if _count(incident).logins_failed:
        return "Allow ssh by key only, or only from known addresses, so that guessing is pointless."
    return (
        "Check the accounts that were tried for a successful login since then, and limit login"
        " attempts per address and per account."
    )


def _cite(incident: Incident) -> tuple[Citation, ...]:
    lines = list(enumerate(incident.evidence, start=1))
    matched = [(n, line) for n, line in lines if line.rule_ids] or lines
    return tuple(
        Citation(line=str(n), quote=redact(line.line).text[:QUOTE_LIMIT])
        for n, line in matched[:_MAX_CITATIONS]
    )


def _count(incident: Incident) -> _Counts:
    responses = incident.activity.responses
    return _Counts(
        requests=sum(responses.get(c, 0) for c in ("1xx", "2xx", "3xx", "4xx", "5xx")),
        succeeded=responses.get("2xx", 0),
        logins_failed=responses.get("ssh_failure", 0),
        logins_succeeded=responses.get("ssh_success", 0),
    )


def _may_have_logged_in(incident: Incident) -> bool:
    counts = _count(incident)
    is_guessing = Family.BRUTE_FORCE in incident.families and counts.logins_failed > 0
    return is_guessing and counts.logins_succeeded > 0


def _is_internal(source_ip: str) -> bool:
    try:
        network = ip_network(source_ip, strict=False)
    except ValueError:
        return False
    return any(
        network.version == internal.version and network.subnet_of(internal)  # type: ignore[arg-type]
        for internal in _INTERNAL
    )


def _name_time(incident: Incident) -> str:
    first, last = incident.first_seen, incident.last_seen
    if first == last:
        return f"in the minute of {_name_moment(first)} UTC"
    until = f"{last:%H:%M}" if first.date() == last.date() else _name_moment(last)
    return f"between {_name_moment(first)} and {until} UTC"


def _name_moment(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y %H:%M}"


def _name_duration(seconds: int) -> str:
    if seconds % 3600 == 0:
        return _number(seconds // 3600, "hour")
    return _number(seconds // 60, "minute") if seconds % 60 == 0 else _number(seconds, "second")


def _number(count: int, noun: str) -> str:
    """`3 lines`, or nothing for none."""
    if count == 0:
        return ""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _join(words: list[str]) -> str:
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last
