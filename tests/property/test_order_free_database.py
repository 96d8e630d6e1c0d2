"""
Same lines, same incidents, over the real code and a real database.

However lines are cut into files, appends, rotations, objects, batches and runs, in whatever order
they come, and wherever a run dies: the open incidents are those of one run over everything.
"""

import gzip
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tasks.collect.source import open_source
from tasks.detect.loading import Recent
from tasks.detect.touched import Touched
from tasks.model.incidents import Incident
from tasks.model.objects import Location
from tasks.store.schema import open_database
from tests.bare_scans import Scans, Shelf
from tests.counting import NEW_YEAR, Line, bursts, lines_of, request

on_sqlite = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
on_mariadb = settings(
    on_sqlite,
    max_examples=6,
    derandomize=True,
    database=None,
    suppress_health_check=[
        *on_sqlite.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ],
)


def render(line: Line) -> bytes:
    """The line of a log that is parsed to the event of *line*."""
    event = line.event
    time = datetime.fromtimestamp(event.timestamp, UTC)
    if event.http_request_method is None:
        outcome = "Failed" if event.event_outcome == "failure" else "Accepted"
        return (
            f"{time:%Y-%m-%dT%H:%M:%S}+00:00 bastion sshd[77]: {outcome} password for root "
            f"from {event.source_ip} port 50000 ssh2\n"
        ).encode()
    return (
        f"{event.source_ip} - - [{time:%d/%b/%Y:%H:%M:%S} +0000] "
        f'"GET {event.url_original} HTTP/1.1" {event.http_response_status_code} 45 "-" "x"\n'
    ).encode()


texts = st.lists(bursts(), min_size=2, max_size=6).map(
    lambda found: [render(line) for burst in found for line in burst]
)


STRANGE = render(request(NEW_YEAR + 700, "/a?id=1+union+select+2", source_ip="198.51.100.9"))


@dataclass
class World:
    """Files and objects that grow, and the scans that follow them."""

    root: Path
    scans: Scans
    files: list[bytes]
    objects: list[bytes]
    shelf: Shelf
    written: list[int]
    generation: int = 0

    def __post_init__(self) -> None:
        self.directory = open_source(Location(str(self.root)))

    def append(self, number: int, size: int) -> None:
        """So many more bytes of a file, which may end inside a line."""
        text, start = self.files[number], self.written[number]
        with (self.root / f"{number}.log").open("ab") as file:
            file.write(text[start : start + size])
        self.written[number] = min(start + size, len(text))

    def rotate(self, number: int, *, is_compressed: bool) -> None:
        """What is written of a file is at another path; the rest goes into a new file."""
        path = self.root / f"{number}.log"
        text, start = self.files[number], self.written[number]
        end = text.find(b"\n", start - 1) + 1 if start else 0
        if not end:
            return
        self.append(number, end - start)
        self.generation += 1
        path.rename(old := self.root / f"{number}.log.{self.generation}")
        if is_compressed:
            old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()
        self.files[number], self.written[number] = text[end:], 0

    def put(self, number: int, start: int, count: int) -> None:
        """An object holds any lines, also such that nobody will have sent in the end."""
        lines = [STRANGE, *b"".join(self.files + self.objects).splitlines(keepends=True)]
        self.shelf.objects[f"{number}.log"] = b"".join(lines[start : start + count])

    def finish(self) -> None:
        for number, text in enumerate(self.files):
            self.append(number, len(text))
        for number, text in enumerate(self.objects):
            self.shelf.objects[f"{number}.log"] = text


@contextmanager
def namespace(url: str | None) -> Iterator[Scans]:
    """A namespace without anything in it."""
    if url is not None:
        yield Scans(open_database(url), namespace=f"world-{next(numbers)}")
        return
    with TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/middlewatch.db")
        try:
            yield Scans(engine)
        finally:
            engine.dispose()


numbers = itertools.count()


def at_once(lines: list[bytes], url: str | None) -> list[Incident]:
    """What one run over one object with all lines says."""
    with namespace(url) as scans:
        scans.run(Shelf({"all.log": b"".join(lines)}))
        return scans.incidents()


steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "rotate", "compress", "put", "put"]),
        st.integers(0, 1),
        st.integers(0, 400),
        st.sampled_from(["run", "run", "die", "wait"]),
        st.integers(1, 3),
    ),
    min_size=2,
    max_size=9,
)


def live(lines: list[bytes], deal: list[int], story: list, url: str | None) -> list[Incident]:
    """The same lines dealt to two files and two objects, which a story happens to."""
    hands = [b"".join(itertools.compress(lines, [d == n for d in deal])) for n in range(4)]
    with TemporaryDirectory() as folder, namespace(url) as scans:
        world = World(Path(folder), scans, hands[:2], hands[2:], Shelf(), [0, 0])
        for what, number, size, then, objects_per_batch in story:
            if what == "append":
                world.append(number, size)
            elif what == "put":
                world.put(number, size % 10, size // 40)
            else:
                world.rotate(number, is_compressed=what == "compress")
            if then != "wait":
                for source in (world.directory, world.shelf):
                    scans.count(source, objects_per_batch=objects_per_batch)
            if then == "run":
                scans.evaluate()
        world.finish()
        scans.run(world.directory, world.shelf)
        return scans.incidents()


def check(lines: list[bytes], deal: list[int], story: list, url: str | None = None) -> None:
    deal = [deal[n % len(deal)] for n in range(len(lines))]
    expected = at_once(lines, url)
    event(f"{min(len(expected), 3)} incidents")

    assert live(lines, deal, story, url) == expected


deals = st.lists(st.integers(0, 3), min_size=2, max_size=20)


@on_sqlite
@given(texts, deals, steps)
def test_any_story_ends_with_the_same_incidents(lines, deal, story):
    """Appends within lines, rotation, compression, overwriting, batches, deaths: no difference."""
    check(lines, deal, story)


def test_any_story_ends_with_the_same_incidents_on_mariadb(mariadb_url):
    """The same over the database of production."""

    @on_mariadb
    @given(texts, deals, steps)
    def property_holds(lines, deal, story):
        check(lines, deal, story, mariadb_url)

    property_holds()
    open_database(mariadb_url).dispose()


@settings(on_sqlite, max_examples=15)
@given(lines_of(2).filter(lambda lines: len(lines) < 12), st.randoms(use_true_random=False))
def test_one_object_per_line_in_any_order(lines, random):
    """Every line is an object of its own, and an evaluation follows each."""
    rendered = [render(line) for line in lines]
    with namespace(None) as scans:
        shelf = Shelf()
        for number, line in enumerate(random.sample(rendered, len(rendered))):
            shelf.objects[f"{number}.log"] = line
            scans.run(shelf)
        found = scans.incidents()

    assert found == at_once(rendered, None)


@settings(on_sqlite, max_examples=15)
@given(texts, deals, steps, st.integers(1, 5), st.sampled_from([0, 10_000]))
def test_slices_of_any_size_give_the_same_incidents(lines, deal, story, size, most_bytes):
    """An hour of a few clients at a time, of tallies that are kept or not: no difference."""
    deal = [deal[n % len(deal)] for n in range(len(lines))]
    expected = at_once(lines, None)
    whole = Touched.slices

    def slices(touched, margin=1, hours=1, **how):
        return whole(touched, margin, 1, size, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Touched, "slices", slices)
        patch.setattr(Recent.__init__, "__defaults__", (most_bytes,))
        patch.setattr("tasks.detect.loading._CROWD", size)

        assert live(lines, deal, story, None) == expected
