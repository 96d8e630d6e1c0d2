"""
The distinct texts of blocks: what each of them is, and which class it is in.

Nearly all texts are *clean*: it is proven that no signature hits them. Their views are known
without `decode` (`reducing_kernel`), and the patterns of all signatures, joined, find nothing in
them (`proving`). Only the others are looked at signature by signature.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.collect.formats.fields import read_text
from tasks.collect.formats.request import split_request, split_target
from tasks.detect import numbering_kernel as numbering
from tasks.detect import reducing_kernel as reducing
from tasks.detect.classes import Classifier
from tasks.detect.judged import hash_value
from tasks.detect.proving import Views
from tasks.detect.rules import RuleSet

Rows = npt.NDArray[np.int32]
"""Numbers of texts."""
Words = npt.NDArray[np.uint64]

_REQUEST_SLOTS: Final = 1 << 18
_PATH_SLOTS: Final = 1 << 17
_OTHER_SLOTS: Final = 1 << 16
_MEAN_BYTES: Final = 96
"""Of the arena of a text, and of all texts together in a full table."""
_MAX_METHODS: Final = 64


class NumberedTexts:
    """The requests, paths, referrers and user agents of blocks, until their tables are full."""

    def __init__(self, rules: RuleSet) -> None:
        """There is none yet."""
        self.classifier = Classifier(rules)
        self.seed = np.uint64(secrets.randbits(64))
        """Of the hashes of texts; nobody who writes a log can know it."""
        self.requests = _make_texts(_REQUEST_SLOTS)
        self.paths = _make_texts(_PATH_SLOTS)
        self.others = _make_texts(_OTHER_SLOTS)
        """Referrers and user agents."""
        self.methods = np.zeros(_MAX_METHODS, np.uint64)
        self._method_count = np.zeros(1, np.int64)
        self._path_hashes = np.zeros(len(self.paths.records), np.uint64)
        self._target_hashes = np.zeros(len(self.requests.records), np.uint64)
        self._odd_hashes = np.zeros(len(self.requests.records), np.uint64)
        """Of paths of requests without a plain one."""

    @property
    def tables(self) -> tuple[numbering.Texts, numbering.Texts, numbering.Texts]:
        """Requests, paths, and the others."""
        return self.requests, self.paths, self.others

    @property
    def count(self) -> tuple[int, int, int]:
        """How many requests, paths and others there are."""
        requests, paths, others = (int(texts.size[0]) for texts in self.tables)
        return requests, paths, others

    def make_room(self, *, must_forget: bool) -> bool:
        """Tables that are nearly full begin again; says whether classes do, too."""
        must_forget = must_forget or self.classifier.is_full
        if must_forget or _is_nearly_full(self.others):
            _empty(self.others)
        if must_forget or _is_nearly_full(self.paths):
            _empty(self.paths, self._path_hashes)
            _empty(self.requests, self._target_hashes, self._odd_hashes)
        if _is_nearly_full(self.requests):
            _empty(self.requests, self._target_hashes, self._odd_hashes)
        if must_forget:
            self.classifier.forget()
        return must_forget

    def classify(self, first_request: int, first_path: int, first_other: int) -> None:
        """Every text from these on has a class."""
        if self.requests.size[0] > first_request:
            self._prove_requests(first_request, first_path)
        if self.others.size[0] > first_other:
            self._prove_others(first_other)

    def _prove_requests(self, first: int, first_path: int) -> None:
        requests = self.requests
        count, size = int(requests.size[0]), _room(requests, first)
        target, query = np.empty(size, np.uint8), np.empty(size, np.uint8)
        ends = np.zeros((count - first, 2), np.int64)
        reduced = reducing.reduce_requests(
            first, self.seed, requests, self.paths, self.methods, self._method_count,
            target, query, ends,
        )  # fmt: skip
        requests.records[reduced:count, numbering.CLASS] = numbering.UNIQUE
        ends = ends[: reduced - first]
        if self.paths.size[0] > first_path:
            self._prove_paths(first_path)
        reducing.spread_classes(first, reduced, requests, self.paths)
        unread = set(self._unread(requests, first).tolist())
        hits: dict[int, list[int]] = defaultdict(list)
        for name, views in (
            ("url_original", Views(target, ends[:, 0])),
            ("url_query", Views(query, ends[:, 1])),
        ):
            for row, found in self.classifier.prover.hits(name, views):
                if found is None:
                    unread.add(first + row)
                else:
                    hits[first + row] += found
        if hits:
            records = requests.records[list(hits)]
            path_classes = self.paths.records[records[:, numbering.PATH], numbering.CLASS].tolist()
            classes = map(self.classifier.of_hits, hits.values(), path_classes)
            requests.records[list(hits), numbering.CLASS] = list(classes)
        self._classify_requests(np.array(sorted(unread), np.intp))

    def _prove_paths(self, first: int) -> None:
        paths, classifier = self.paths, self.classifier
        buffer = np.empty(_room(paths, first), np.uint8)
        ends = np.zeros(int(paths.size[0]) - first, np.int64)
        reducing.reduce_paths(first, paths, buffer, ends)
        for row, hits in classifier.prover.hits("url_path", Views(buffer, ends)):
            of_hits = numbering.DIRTY if hits is None else classifier.of_hits(hits)
            paths.records[first + row, numbering.CLASS] = of_hits
        unread = self._unread(paths, first)
        for number, path in zip(unread.tolist(), self._paths_of(unread), strict=True):
            found = classifier.match("url_path", path)
            paths.records[number, numbering.CLASS] = classifier.of_hits(found)

    def _prove_others(self, first: int) -> None:
        others, classifier = self.others, self.classifier
        size = _room(others, first)
        referrer, agent = np.empty(size, np.uint8), np.empty(size, np.uint8)
        ends = np.zeros((int(others.size[0]) - first, 2), np.int64)
        reducing.reduce_others(first, others, referrer, agent, ends)
        if classifier.asks_others:
            others.records[first : others.size[0], numbering.CLASS] = numbering.DIRTY
        for name, views in (
            ("http_request_referrer", Views(referrer, ends[:, 0])),
            ("user_agent_original", Views(agent, ends[:, 1])),
        ):
            dirty = list(classifier.prover.find(name, views))
            others.records[[first + row for row in dirty], numbering.CLASS] = numbering.DIRTY
        unread = self._unread(others, first)
        for number, raw in zip(unread.tolist(), _bytes_of(others, unread), strict=True):
            text = read_text(raw)
            is_referrer = others.records[number, numbering.KIND] == numbering.KIND_REFERRER
            classify = classifier.of_referrer if is_referrer else classifier.of_agent
            others.records[number, numbering.CLASS] = classify(text)

    def _unread(self, texts: numbering.Texts, first: int) -> Rows:
        """Texts from *first* on of which nothing is known yet."""
        classes = texts.records[first : texts.size[0], numbering.CLASS]
        return first + (classes == numbering.DIRTY).nonzero()[0]  # type: ignore[no-any-return]

    def _classify_requests(self, numbers: Rows) -> None:
        records = self.requests.records
        paths = records[numbers, numbering.PATH]
        path_classes = np.where(paths < 0, 0, self.paths.records[paths, numbering.CLASS])
        texts = _bytes_of(self.requests, numbers)
        records[numbers, numbering.CLASS] = [
            self.classifier.of_request(text, None if path < 0 else path_class)
            for text, path, path_class in zip(
                texts, paths.tolist(), path_classes.tolist(), strict=True
            )
        ]

    def look_at_paths(self, requests: Rows) -> bool:
        """Ask of the paths of these requests what the rules ask; whether there was a new one."""
        records = self.paths.records
        paths = self.requests.records[requests, numbering.PATH]
        paths = np.unique(paths[paths >= 0])
        paths = paths[records[paths, numbering.FACTS] == numbering.NEW]
        ask = self.classifier.facts_of
        records[paths, numbering.FACTS] = [ask(text) for text in self._paths_of(paths)]
        return len(paths) > 0

    def _paths_of(self, paths: Rows) -> Iterator[str]:
        return map(bytes.decode, _bytes_of(self.paths, paths))

    def hash_values(self, requests: Rows, of_paths: npt.NDArray[np.bool_]) -> Words:
        """The hash of the path or of the target of each of these requests."""
        paths = self.requests.records[requests, numbering.PATH]
        hashes = np.empty(len(requests), np.uint64)
        for known, numbers, which, texts_of in (
            (self._target_hashes, requests, ~of_paths, self._targets_of),
            (self._path_hashes, paths, of_paths & (paths >= 0), self._paths_of),
            (self._odd_hashes, requests, of_paths & (paths < 0), self._odd_paths_of),
        ):
            wanted = numbers[which]
            new = np.unique(wanted[known[wanted] == 0])
            known[new] = np.fromiter(map(hash_value, texts_of(new)), np.uint64, len(new))
            hashes[which] = known[wanted]
        return hashes

    def _targets_of(self, requests: Rows) -> Iterator[str]:
        records = self.requests.records[requests]
        texts = zip(_bytes_of(self.requests, requests), records.tolist(), strict=True)
        for text, record in texts:
            if record[numbering.PATH] < 0:
                yield split_request(text)[1] or ""
            else:
                end = record[numbering.TARGET_END] - record[numbering.OFFSET]
                yield read_text(text[text.index(b" ") + 1 : end]) or ""

    def _odd_paths_of(self, requests: Rows) -> Iterator[str]:
        return (split_target(target)[0] or "" for target in self._targets_of(requests))


def _make_texts(slots: int) -> numbering.Texts:
    return numbering.Texts(
        slots=np.zeros(slots, np.uint64),
        records=np.zeros((slots // 2, numbering.TEXT_COLUMNS), np.int32),
        arena=np.zeros(slots // 2 * _MEAN_BYTES + 8 * numbering.MAX_LINE, np.uint8),
        size=np.zeros(2, np.int64),
    )


def _is_nearly_full(texts: numbering.Texts) -> bool:
    count, size = texts.size.tolist()
    margin = max(len(texts.arena) // 8, 4 * numbering.MAX_LINE)
    return bool(5 * count > 2 * len(texts.slots) or size + margin > len(texts.arena))


def _empty(texts: numbering.Texts, *hashes: Words) -> None:
    for column in (texts.slots, texts.size, *hashes):
        column.fill(0)


def _room(texts: numbering.Texts, first: int) -> int:
    """Bytes that the views of the texts from *first* on can have."""
    count, size = texts.size.tolist()
    return int(
        reducing.VIEWS * (size - texts.records[first, numbering.OFFSET] + count - first) + 64
    )


def _bytes_of(texts: numbering.Texts, numbers: Rows) -> list[bytes]:
    """The texts with these numbers."""
    starts = texts.records[numbers, numbering.OFFSET]
    stops = starts + texts.records[numbers, numbering.LENGTH]
    arena = texts.arena.data
    return [bytes(arena[a:b]) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
