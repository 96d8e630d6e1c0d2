"""rules.yml: what it may say, what it means, and how it is refused."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.parser import parse_line
from tasks.detect.rules import (
    MIN_NETWORK_ADDRESSES,
    SHIPPED_RULES,
    GroupBy,
    Override,
    load_rules,
    parse_timespan,
    with_thresholds,
)
from tasks.detect.subjects import name_networks
from tasks.model.errors import ConfigurationError
from tasks.model.events import Event, EventCategory, Unparsed
from tasks.model.incidents import Family, Severity

SHIPPED = load_rules()
MATCHES = [(rule.id, lines) for rule in SHIPPED.rules for lines in rule.matches]
IGNORES = [(rule.id, lines) for rule in SHIPPED.rules for lines in rule.ignores]

RULES = """
extends: none
incident-gap: 2h
words:
  tools: [sqlmap, nikto]
signatures:
  - id: tool
    family: scanner
    strength: strong
    fields: [user_agent_original]
    pattern: ['<<tools>>/', '^hydra']
    matches: [{user_agent_original: sqlmap/1}]
  - id: quote
    family: sql_injection
    strength: weak
    fields: [url_query]
    pattern: "'"
    matches: ["/?a='"]
rules:
  - id: counted
    version: 3
    title: Counted
    type: event_count
    selection: {signature_family: scanner}
    group-by: [source_ip]
    timespan: 10m
    condition: {gte: 2}
    family: scanner
    severity: low
    techniques: [T1595.002]
    threshold: Two are one more than one.
    falsepositives: [None known.]
    examples: {matches: [[a]], ignores: [[b]]}
"""
DISTINCT = """
  - id: distinct
    version: 1
    title: Distinct
    type: value_count
    field: url_path
    selection: {category: web}
    group-by: [source_ip]
    timespan: 1h
    condition: {gte: 128}
    family: reconnaissance
    severity: low
    techniques: [T1595]
    threshold: Many.
    falsepositives: [None known.]
    examples: {matches: [[a]], ignores: [[b]]}
"""


@pytest.fixture
def load(tmp_path):
    """Loads rules from text, as a user's own file."""

    def load_text(text):
        path = tmp_path / "rules.yml"
        path.write_text(text, "utf-8")
        return load_rules(path)

    return load_text


def read_events(lines):
    clock = ObjectClock(datetime(2026, 2, 23, tzinfo=UTC))
    parsed = [parse_line(line.encode(), clock) for line in lines]
    understood = [events for events in parsed if not isinstance(events, Unparsed)]
    assert len(understood) == len(lines)
    return [event for events in understood for event in events]


def count(rule, lines):
    """What the rule counts in lines of one subject that are within one window."""
    events = read_events(lines)
    selected = [e for e in events if rule.selects(e, SHIPPED.signature_set.match(e))]
    addresses = {e.source_ip for e in selected}
    if rule.group_by is GroupBy.SOURCE_IP:
        assert len(addresses) <= 1
    elif len(addresses) < MIN_NETWORK_ADDRESSES:
        return 0
    else:
        assert len(set(name_networks(addresses, 128).values())) == 1
    if selected:
        span = max(e.timestamp for e in selected) - min(e.timestamp for e in selected)
        assert span < rule.timespan_seconds
    if rule.after is not None:
        (before,) = (r for r in SHIPPED.rules if r.counter == rule.after)
        last = max((e.timestamp // 60 for e in selected), default=-1)
        return sum(before.selects(e, ()) and e.timestamp // 60 <= last for e in events)
    if rule.type == "event_count":
        return len(selected)
    return len({rule.value(e) for e in selected} - {None})


def shipped(rule_id):
    return next(rule for rule in SHIPPED.rules if rule.id == rule_id)


def web(**fields):
    return Event(timestamp=0, source_ip="192.0.2.1", category=EventCategory.WEB, **fields)


def selects(load, selection, event):
    text = RULES.replace("{signature_family: scanner}", selection)
    rules = load(text)
    return rules.rules[0].selects(event, rules.signature_set.match(event))


@pytest.mark.parametrize(("rule_id", "lines"), MATCHES)
def test_a_rule_matches_its_examples(rule_id, lines):
    """The log lines under `matches` reach the threshold."""
    rule = shipped(rule_id)

    assert count(rule, lines) >= rule.threshold


@pytest.mark.parametrize(("rule_id", "lines"), IGNORES)
def test_a_rule_ignores_its_counter_examples(rule_id, lines):
    """The log lines under `ignores` do not."""
    rule = shipped(rule_id)

    assert count(rule, lines) < rule.threshold


def families_of(*lines):
    return {rule.family for rule in SHIPPED.rules if count(rule, lines) >= rule.threshold}


@pytest.mark.parametrize(
    ("target", "family"),
    [
        ("/login.php?user=admin' AND (SELECT 1 FROM (SELECT(SLEEP(5)))a)--", Family.SQL_INJECTION),
        ("/../../../../etc/passwd", Family.PATH_TRAVERSAL),
        ("/?q=<script>alert(1)</script>", Family.CROSS_SITE_SCRIPTING),
        ("/shell?cmd=ls", Family.REMOTE_CODE_EXECUTION),
        ("/.env", Family.RECONNAISSANCE),
    ],
)
def test_one_attack_is_one_family(target, family):
    """A single request with strong evidence is a finding, and of the right kind."""
    line = f'192.0.2.1 - - [22/Feb/2026:22:12:45 +0300] "GET {target} HTTP/1.1" 200 5 "-" "Mozilla"'

    assert families_of(line) == {family}


def test_the_shipped_rules_cover_what_they_promise():
    """The ids that people put into overrides stay."""
    assert {rule.id for rule in SHIPPED.rules} >= {
        "cross-site-scripting", "http-error-burst", "http-login-failures", "http-missing-paths",
        "http-probing", "http-request-volume", "path-traversal", "remote-code-execution",
        "scanner-user-agent", "sensitive-files", "sql-injection", "ssh-login-failures",
        "ssh-user-enumeration",
    }  # fmt: skip
    assert SHIPPED.incident_gap_seconds == 3600


def test_a_file_says_what_it_says(load):
    """Every field of a rule arrives, with its numbers as numbers."""
    rules = load(RULES)
    (rule,) = rules.rules

    assert (rule.id, rule.version, rule.title) == ("counted", 3, "Counted")
    assert (rule.type, rule.timespan_seconds, rule.threshold) == ("event_count", 600, 2)
    assert (rule.family, rule.severity) == (Family.SCANNER, Severity.LOW)
    assert rule.techniques == ("T1595.002",)
    assert rule.is_signature
    assert rules.incident_gap_seconds == 7200
    assert [s.id for s in rules.signatures] == ["tool", "quote"]


def test_words_and_alternatives_become_one_pattern(load):
    """`<<tools>>` is any of the words, and a list of patterns is any of them."""
    match = load(RULES).signature_set.match

    for user_agent in ("sqlmap/1", "Nikto/2", "hydra"):
        assert [s.id for s in match(web(user_agent_original=user_agent))] == ["tool"]
    assert match(web(user_agent_original="my hydra")) == ()


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        ("{url_path: /A}", True),
        ("{url_path: [/b, /a]}", True),
        ("{url_path: /b}", False),
        ("{url_path: /a, http_response_status_code: 404}", True),
        ("{url_path: /a, http_response_status_code: 200}", False),
        ("[{url_path: /b}, {http_response_status_code: 404}]", True),
        ("{http_response_status_code|gte: 400}", True),
        ("{http_response_status_code|lte: 399}", False),
        ("{url_path|startswith: /}", True),
        ("{url_path|endswith: [x, A]}", True),
        ("{url_path|contains: b}", False),
        ("{url_path|re: '^/[a-c]$'}", True),
        ("{url_query|exists: false}", True),
        ("{user_agent_original|exists: false}", False),
        ("{url_query|contains: a}", False),
        ("{category: web}", True),
        ("{category: authentication}", False),
        ("{is_invalid_user: false}", True),
        ("{signature_id: tool}", True),
        ("{signature_family: scanner, signature_strength: strong}", True),
        ("{signature_family: sql_injection}", False),
        ("{signature_id: tool, url_path: /b}", False),
        ("[{signature_id: tool}, {url_path: /b}]", True),
    ],
)
def test_a_selection_selects(load, selection, selected):
    """Keys are AND, values and selections are OR, modifiers are Sigma's, case does not matter."""
    event = web(url_path="/a", http_response_status_code=404, user_agent_original="sqlmap/1")

    assert selects(load, selection, event) is selected


def test_a_rule_that_needs_no_signature_is_no_signature_rule(load):
    """Only a rule all of whose selections ask for a signature stands on content."""
    text = RULES.replace("{signature_family: scanner}", "[{signature_id: tool}, {url_path: /b}]")

    assert not load(text).rules[0].is_signature


def test_signature_keys_hold_for_one_and_the_same_hit(load):
    """A weak hit of one family and a strong hit of another do not make a strong hit of the first."""
    text = RULES.replace("id: quote\n    family: sql_injection", "id: quote\n    family: scanner")
    text = text.replace("family: scanner}", "family: scanner, signature_strength: strong}")
    rules = load(text)
    event = web(url_path="/", url_query="a='")
    hits = rules.signature_set.match(event)

    assert [hit.id for hit in hits] == ["quote"]
    assert not rules.rules[0].selects(event, hits)


def test_text_that_is_not_unicode_can_be_selected(load):
    """A lone surrogate in a field is no error."""
    assert selects(load, "{url_path|re: '^/.$'}", web(url_path="/\udc80")) is True


def test_a_counter_names_the_rule_and_its_version(load):
    """A tally stays good whatever else of a rule or of signatures changes."""
    assert load(RULES).rules[0].counter == "counted:v3"
    assert load(RULES.replace("version: 3", "version: 4")).rules[0].counter == "counted:v4"
    for old, new in [("gte: 2", "gte: 5"), ("10m", "5m"), ("'^hydra'", "'^medusa'")]:
        assert old in RULES
        assert load(RULES.replace(old, new)).rules[0].counter == "counted:v3"


def test_shipped_counters_are_all_different():
    """Two rules never share a column of the tally."""
    counters = [rule.counter for rule in SHIPPED.rules]

    assert len(set(counters)) == len(counters)


def test_thresholds_can_be_overridden_for_one_run():
    """Threshold, timespan or both change; the others and all counters stay."""
    changed = with_thresholds(
        SHIPPED,
        {
            "http-request-volume": Override(threshold=15),
            "ssh-login-failures": Override(timespan="1h"),
        },
    )
    rules = {rule.id: rule for rule in changed.rules}

    assert rules["http-request-volume"].threshold == 15
    assert rules["ssh-login-failures"].timespan_seconds == 3600
    assert rules["ssh-login-failures"].threshold == 5
    assert [r.counter for r in changed.rules] == [r.counter for r in SHIPPED.rules]
    assert changed.signature_set is SHIPPED.signature_set


def test_an_override_for_no_rule_names_those_there_are():
    """A typo in a flow parameter is told before anything is read."""
    with pytest.raises(
        ConfigurationError, match=r"No rule is called http-volume.*ssh-login-failures"
    ):
        with_thresholds(SHIPPED, {"http-volume": Override(threshold=1)})


def test_a_distinct_count_cannot_be_overridden_beyond_what_is_kept():
    """A tally keeps 128 distinct values, so a threshold above would never be reached."""
    with pytest.raises(ConfigurationError, match=r"http-missing-paths.*128"):
        with_thresholds(SHIPPED, {"http-missing-paths": Override(threshold=129)})


@pytest.mark.parametrize("override", [{"threshold": 0}, {"timespan": "90s"}, {"timespan": "90m"}])
def test_an_override_is_checked(override):
    """Thresholds are at least one, timespans whole minutes up to an hour."""
    with pytest.raises(ValidationError):
        Override(**override)


def test_timespans_are_sigmas():
    """A number and a unit; nothing else."""
    assert [parse_timespan(t) for t in ("30s", "10m", "1h", "1d")] == [30, 600, 3600, 86400]
    for wrong in ("10", "m", "1.5h", "-1m", "0m", "10 m", 600, None):
        with pytest.raises(ValueError, match="no timespan"):
            parse_timespan(wrong)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("id: counted", "id: Counted!", r"line 20, rules\.Counted!\.id: string should match"),
        ("10m", "90s", r"line 26, rules\.counted\.timespan: '90s' must be whole minutes"),
        ("10m", "90m", "from 1m to 1h, or whole hours to 24h"),
        ("10m", "25h", "whole hours to 24h"),
        ("gte: 2", "gte: 0", r"line 27, rules\.counted\.condition\.gte: input should be greater"),
        ("severity: low", "severity: bad", r"severity: input should be 'informational'"),
        ("T1595.002", "1595", "techniques"),
        ("    title: Counted\n", "", r"line 20, rules\.counted\.title: field required"),
        ("title:", "titel:", r"line 22, rules\.counted\.titel: extra inputs"),
        ("[source_ip]", "[user_name]", "'source_ip', 'source_network' or 'source_asn'"),
        ("[source_ip]\n    timespan: 10m", "[source_network]\n    timespan: 2h", "of 1h at most"),
        ("type: event_count", "type: event_count\n    field: url_path", "leave `field` out"),
        ("type: event_count", "type: value_count", "value_count needs a `field`"),
        ("{signature_family: scanner}", "{url_pth: /}", "no event has the field 'url_pth'"),
        ("{signature_family: scanner}", "{timestamp: 5}", "no event has the field 'timestamp'"),
        ("{signature_family: scanner}", "{url_path|gte: 5}", "url_path takes one modifier of"),
        ("{signature_family: scanner}", "{url_path|re|contains: a}", "takes one modifier"),
        ("{signature_family: scanner}", "{url_path|re: '('}", "not an RE2 pattern"),
        ("{signature_family: scanner}", "{url_path: 5}", "must be text, not 5"),
        ("{signature_family: scanner}", "{url_path: []}", "an empty list selects nothing"),
        ("{signature_family: scanner}", "{}", "selects everything"),
        ("{signature_family: scanner}", "{signature_id: tol}", "selects no signature"),
        ("{signature_family: scanner}", "{http_response_status_code: '404'}", "must be a number"),
        ("<<tools>>", "<<tolls>>", r"signatures\.tool\.pattern: no `words` are called tolls"),
        ("'^hydra'", "'^(hydra'", "alternative 2 is not an RE2 pattern"),
        ("'^hydra'", "'^Hydra'", "alternative 2 has upper-case letters"),
        ("id: quote", "id: tool", "tool is taken"),
        ("incident-gap: 2h", "incident-gap: 30m", "line 3, incident-gap: '30m' must be"),
        ("[user_agent_original]", "[user_agent]", r"signatures\.tool\.fields"),
        ("    matches: [{user_agent_original: sqlmap/1}]\n", "", r"signatures\.tool\.matches"),
        ("incident-gap: 2h", "incident-gap: 2h\nincident-gap: 3h", "line 4: found duplicate key"),
        ("rules:", "rules: [", "it is not YAML: line"),
    ],
)
def test_a_mistake_is_named_with_its_place(load, old, new, complaint):
    """The message says the file, the line, the field and what would be right."""
    assert old in RULES

    with pytest.raises(ConfigurationError, match=complaint) as refused:
        load(RULES.replace(old, new))

    assert "rules.yml" in str(refused.value)


def test_all_mistakes_are_told_at_once(load):
    """Nobody has to run a scan once per typo."""
    text = RULES.replace("10m", "90s").replace("severity: low", "severity: bad")
    text = text.replace("'^hydra'", "'^(hydra'") + DISTINCT.replace("gte: 128", "gte: 129")

    with pytest.raises(ConfigurationError) as refused:
        load(text)

    for part in ("tool.pattern", "counted.timespan", "counted.severity", "128 at most"):
        assert part in str(refused.value)


def test_as_many_distinct_values_as_are_kept_can_be_asked_for(load):
    """128 is possible, and value() gives what is counted."""
    rule = load(RULES + DISTINCT).rules[1]

    assert (rule.threshold, rule.value(web(url_path="/a"))) == (128, "/a")
    assert rule.value(web()) is None


def overlaid(load, text):
    """The shipped rules with *text* laid over them, by id."""
    return {rule.id: rule for rule in load(text).rules}


def test_a_file_of_ones_own_changes_what_it_names(load):
    """One key of one shipped rule is another, and everything else stays."""
    rules = overlaid(load, "rules: [{id: ssh-login-failures, condition: {gte: 7}}]")
    before = shipped("ssh-login-failures")

    assert rules.keys() == {rule.id for rule in SHIPPED.rules}
    assert rules["ssh-login-failures"].threshold == 7
    assert rules["ssh-login-failures"].counter == before.counter
    assert [r for r in rules.values() if r.id != before.id] == [
        r for r in SHIPPED.rules if r.id != before.id
    ]


def test_a_file_of_ones_own_adds_rules_and_signatures(load):
    """A new id is a new entry, and may use the shipped words and signatures."""
    text = RULES.replace("extends: none\n", "").replace("<<tools>>/", "<<tools>>/<<attack-tools>>")
    rules = load(text)

    assert [r.id for r in rules.rules] == [*(r.id for r in SHIPPED.rules), "counted"]
    assert rules.signatures[-2:][0].pattern.startswith("(?:sqlmap|nikto)/(?:")
    assert rules.incident_gap_seconds == 7200


def test_a_disabled_rule_is_not_there(load):
    """Nothing is counted for it."""
    rules = overlaid(load, "rules: [{id: http-error-burst, disabled: true}]")

    assert "http-error-burst" not in rules
    assert len(rules) == len(SHIPPED.rules) - 1


def test_a_shadow_rule_is_counted(load):
    """Its counter stays, so that it can become a finding later."""
    rule = overlaid(load, "rules: [{id: http-error-burst, shadow: true}]")["http-error-burst"]

    assert rule.is_shadow
    assert rule.counter == shipped("http-error-burst").counter


def test_nothing_shipped_remains_when_a_file_stands_alone(load):
    """`extends: none` replaces all of it, words and signatures too."""
    rules = load(RULES)

    assert [r.id for r in rules.rules] == ["counted"]
    with pytest.raises(ConfigurationError, match="no `words` are called attack-tools"):
        load(RULES.replace("<<tools>>", "<<attack-tools>>"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "rules: [{id: ssh-login-failures, timespan: 90s}]",
            r"line 1, rules\.ssh-login-failures\.tim",
        ),
        ("rules:\n  - id: new\n    title: New", r"line 2, rules\.new\.selection: field required"),
        (
            "rules: [{id: ssh-login-failures, disabled: true}]",
            r"shipped rules\.ssh-login-after-failures\.after: ssh-login-failures is no event_count",
        ),
        (
            "words: {tools: ['(']}\nsignatures: [{id: jndi-lookup, pattern: '<<tools>>'}]",
            "RE2 patt",
        ),
        (
            "words: {attack-tools: ['(']}",
            r"shipped signatures\.scanner-user-agent\.pattern: altern",
        ),
        (
            "signatures: [{id: jndi-lookup, strength: fatal}]",
            r"line 1, signatures\.jndi-lookup\.str",
        ),
        ("rules: [{id: http-error-burst}, {id: http-error-burst}]", "http-error-burst is taken"),
        ("", "line 1: input should be fields with values"),
        ("- 1", "line 1: input should be fields with values"),
        ("extends: all", r"line 1, extends: input should be 'shipped' or 'none'"),
        ("ipv6-prefix: 129", "line 1, ipv6-prefix: input should be less than or equal to 128"),
    ],
)
def test_a_mistake_in_a_file_of_ones_own_is_named(load, text, complaint):
    """Also when it only shows in a shipped entry that builds on what the file changed."""
    with pytest.raises(ConfigurationError, match=complaint):
        load(text)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("after: ssh-login-failures", "after: nobody", "nobody is no event_count rule"),
        ("after: ssh-login-failures", "field: user_name", "leave `field` out"),
        ("    after: ssh-login-failures\n", "", "`after` names the rule"),
        ("1h", "2h", "1h at most"),
        ("temporal_ordered", "event_count", "temporal_ordered only"),
    ],
)
def test_a_mistake_in_an_order_is_named(load, old, new, complaint):
    """What comes after what is checked like everything else."""
    text = SHIPPED_RULES.read_text("utf-8")
    start = text.index("  - id: ssh-login-after-failures")
    mine = text[start : text.index("  - id:", start + 5)]
    mine = mine.replace("id: ssh-login-after-failures", "id: mine")
    assert old in mine

    with pytest.raises(ConfigurationError, match=complaint):
        load("rules:\n" + mine.replace(old, new))


def test_minutes_and_hours_are_not_exchanged_in_one_run():
    """A stored tally has the one or the other."""
    with pytest.raises(ConfigurationError, match=r"timespan 2h of rule ssh-login-failures"):
        with_thresholds(SHIPPED, {"ssh-login-failures": Override(timespan="2h")})


@pytest.mark.parametrize("text", ["", "[]", "rules: 5", "rules: [5]", "extends: none", "a\n"])
def test_a_file_of_another_kind_is_refused(load, text):
    """Any YAML that is no rules file is one clear error."""
    with pytest.raises(ConfigurationError, match=r"rules\.yml"):
        load(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """A wrong path is the user's to correct."""
    with pytest.raises(ConfigurationError, match=r"none\.yml cannot be read \(No such file"):
        load_rules(tmp_path / "none.yml")


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    """So is a file in another encoding."""
    path = tmp_path / "rules.yml"
    path.write_bytes(b"rules: \xff")

    with pytest.raises(ConfigurationError, match="byte 7 is not UTF-8"):
        load_rules(path)


def test_loading_again_costs_nothing():
    """The same text is compiled once in a process."""
    assert load_rules() is load_rules(SHIPPED_RULES)
