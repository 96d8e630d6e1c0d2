"""The report of a run, as markdown that a renderer reads."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows.report import MAX_ROWS, escape_markdown, incident_rows, render_report
from tasks.model.incidents import Activity, Severity, Status
from tasks.model.objects import Coverage, SkippedObject, UnparsedSample
from tasks.model.runs import Outage, RunState, RunSummary
from tasks.model.text import make_visible
from tasks.model.verdicts import Usage
from tasks.notify.message import RunLink, incident_message
from tests.conclusions import CONCLUSION, END, START, conclusion, conclusions, hostile

RUN = RunSummary(
    name="tidy-fox",
    kind="scan",
    namespace="live",
    source="s3://acme-logs/nginx",
    started_at=START,
    finished_at=END,
    state=RunState.INCOMPLETE,
    coverage=Coverage(listed=12, done=10, unchanged=1, quarantined=0, skipped=1),
    lines=3800,
    lines_unparsed=4,
    size_bytes=1_200_000,
    unparsed=(("a.log", UnparsedSample(3, "no format knows it", "\\x16\\x03")),),
    skipped=(SkippedObject("b.log", "1", "permission denied"),),
    suspects=3,
    conclusions=(
        CONCLUSION,
        conclusion(source_ip="203.0.113.9", severity=Severity.CRITICAL),
        conclusion(source_ip="192.0.2.1", status=Status.BENIGN),
    ),
    deliveries={"sent": 1, "failed": 1},
    usage=Usage(calls=3, input_tokens=12_345, output_tokens=678, cost_usd=0.0157),
    outages=(Outage("Telegram", START), Outage("Tav|ly", END)),
    failures=("The alert for 198.51.100.7 was refused.",),
    degradations=("Bedrock was down.",),
    notes=("Web research is off.",),
)


def parse(markdown):
    return MarkdownIt("commonmark").enable("table").parse(markdown)


def texts(markdown):
    """The text of every paragraph, heading, list item and cell, as it is read."""
    return [
        "".join(child.content for child in token.children)
        for token in parse(markdown)
        if token.type == "inline"
    ]


def test_what_does_not_work_is_named_since_when():
    """With the beginning of the first run that it failed in."""
    shown = texts(render_report(RUN))

    assert "Telegram since 2026-02-20 22:12 UTC" in shown
    assert shown.index("Not working") < shown.index("To be retried by the next run")


def test_coverage_comes_first():
    """After the title the first thing to read is the coverage equation."""
    title, coverage, *_ = texts(render_report(RUN))

    assert title == "Scan of s3://acme-logs/nginx: incomplete"
    assert coverage == "12 listed = 10 done + 1 unchanged + 0 quarantined + 1 skipped"


def test_everything_of_the_run_is_told():
    """Found, told, cost, retried, degraded, off, not read and not understood are all in the report."""
    read = "\n".join(texts(render_report(RUN)))

    for part in (
        "3,800 lines (1.2 MB) read in 240 s, 4 of them not understood.",
        "3 suspects, 2 incidents, 1 cleared by the analyst.",
        "1 sent",
        "1 failed",
        "3 model calls, 12,345 tokens in, 678 tokens out, 0.0157 USD; 0 web searches.",
        "The alert for 198.51.100.7 was refused.",
        "Bedrock was down.",
        "Web research is off.",
        "b.log\npermission denied",
        "a.log\n3\nno format knows it\n\\x16\\x03",
    ):
        assert part in read


def test_incidents_are_listed_worst_first_without_the_benign():
    """The table artifact has the incidents that people are told of, the worst one first."""
    assert [row["source_ip"] for row in incident_rows(RUN)] == ["203.0.113.9", "198.51.100.7"]


def test_a_table_of_thousands_has_the_worst():
    """A browser loads the table artifact whole: it has the worst incidents, the database has all."""
    many = [conclusion(source_ip=f"198.51.{n // 256}.{n % 256}") for n in range(2000)]
    worst = conclusion(source_ip="203.0.113.9", severity=Severity.CRITICAL)

    rows = incident_rows(replace(RUN, conclusions=(*many, worst)))

    assert rows[0]["source_ip"] == "203.0.113.9"
    assert len(rows) == MAX_ROWS


def test_a_quiet_run_says_so():
    """A run with nothing new has no empty tables and no empty sections."""
    quiet = replace(
        RUN, deliveries={}, conclusions=(), failures=(), degradations=(), skipped=(), unparsed=(),
        outages=(),
    )  # fmt: skip

    report = render_report(quiet)

    assert "|" not in report
    assert "No alerts in this run." in report
    assert "retried" not in report
    assert "Not working" not in report


def test_long_lists_end_with_how_many_more():
    """Twenty of the skipped objects are named, the others counted."""
    many = tuple(SkippedObject(f"{n}.log", "1", "denied") for n in range(33))

    read = texts(render_report(replace(RUN, skipped=many)))

    assert "19.log" in read
    assert "20.log" not in read
    assert "and 13 more." in read


@settings(max_examples=100, deadline=None)
@given(hostile(400))
def test_escaped_text_reads_as_itself(text):
    """Markdown of any text renders as exactly that text, alone and in a table cell."""
    visible = make_visible(text)
    cell = f"| a | b |\n|---|---|\n| {escape_markdown(visible)} | end |"

    assert texts(f"x{escape_markdown(visible)}x") == [f"x{visible}x"]
    assert texts(cell) == ["a", "b", visible, "end"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(conclusions, max_size=3), hostile(1000), hostile(200), st.lists(hostile(), max_size=3)
)
def test_hostile_text_adds_nothing_to_the_report(found, key, line, sentences):
    """No text from outside makes a link, image, HTML, heading, list or table cell of its own."""
    run = replace(
        RUN,
        source=key,
        conclusions=tuple(found),
        skipped=(SkippedObject(key, "1", line),),
        unparsed=((key, UnparsedSample(1, "reason", line)),),
        failures=tuple(sentences),
        degradations=tuple(sentences),
        notes=tuple(sentences),
        outages=tuple(Outage(sentence, START) for sentence in sentences),
    )

    tokens = parse(render_report(run))

    kinds = [t.type for t in tokens]
    inline = {child.type for t in tokens for child in t.children or ()}
    assert inline <= {"text", "text_special", "strong_open", "strong_close"}
    assert not {"html_block", "fence", "code_block", "hr", "blockquote_open"} & set(kinds)
    assert kinds.count("list_item_open") == 2 + 4 * len(sentences)
    assert kinds.count("td_open") == 7 * len(found) + 2 + 4
    assert {t.tag for t in tokens if t.type == "heading_open"} == {"h1", "h2"}
    assert kinds.count("heading_open") == 6 + 4 * bool(sentences)


def test_the_report_counts_as_the_alert_does():
    """Of an incident of nothing but ssh logins both say the logins, not the lines about them."""
    guessed = conclusion(activity=Activity(72, {"ssh_failure": 36}))

    [row] = incident_rows(replace(RUN, conclusions=(guessed,)))

    assert row["events"] == 36
    assert "36 ssh logins" in incident_message(guessed, RunLink("tidy-fox")).plain


def test_a_line_that_was_not_understood_gives_no_password_away():
    """The report is stored by Prefect, which may be somebody else's machine."""
    sample = UnparsedSample(3, "no format knows it", "app: login user=bob password=hunter2")

    report = render_report(replace(RUN, unparsed=(("a.log", sample),)))

    assert "bob" in report
    assert "hunter2" not in report
