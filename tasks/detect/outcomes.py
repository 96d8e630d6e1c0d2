"""What lines can count for, numbered."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from tasks.detect.judged import Counters, Judged
from tasks.detect.packed import Slots

MAX_OUTCOMES: Final = 1 << 15


class Outcomes:
    """What lines can count for, numbered."""

    def __init__(self, fields: Mapping[str, str | None]) -> None:
        """Values of counters are what *fields* says."""
        self.judged: list[Judged] = []
        self.counters: dict[str, int] = {}
        """Numbers of combinations, by text."""
        self.counters_of = np.zeros(MAX_OUTCOMES, np.uint32)
        self.share_masks = np.zeros(MAX_OUTCOMES, np.uint64)
        self.limits = np.zeros(MAX_OUTCOMES, np.int64)
        self.has_values = np.zeros(MAX_OUTCOMES, np.bool_)
        self.value_counters: dict[str, int] = {}
        """Numbers of counters of values."""
        self.value_ends = np.zeros(MAX_OUTCOMES, np.int32)
        """Where the values of each outcome end in the next two."""
        self.values = np.empty(0, np.uint64)
        self.of_paths = np.empty(0, np.bool_)
        self._fields = fields
        self._numbers: dict[Judged, int] = {}
        self._slots_of: list[list[int]] = []
        self._slots: dict[tuple[str, int], int] = {}

    @property
    def is_full(self) -> bool:
        return 2 * len(self.judged) > MAX_OUTCOMES

    @property
    def slots(self) -> Slots:
        """In which slots lines compete, by combination of counters."""
        ends = np.cumsum([len(slots) for slots in self._slots_of], dtype=np.int32)
        numbers = np.array([slot for slots in self._slots_of for slot in slots], np.int32)
        return Slots(ends, numbers, np.array([limit for _, limit in self._slots], np.int32))

    def number(self, judged: Judged) -> int:
        """The number of lines that count like that, whatever their values are."""
        judged = replace(judged, values=tuple((counter, None) for counter, _ in judged.values))
        found = self._numbers.get(judged)
        if found is not None:
            return found
        number = self._numbers[judged] = len(self.judged)
        self.judged.append(judged)
        counters = judged.counters
        self.counters_of[number] = self.number_counters(counters)
        self.share_masks[number] = counters.share - 1
        self.limits[number] = max(limit for _, limit in counters.slots)
        names = [counter for counter, _ in judged.values]
        self.has_values[number] = bool(names)
        self.values = np.append(self.values, np.array(self.number_values(names), np.uint64))
        self.of_paths = np.append(self.of_paths, [self._fields[n] == "url_path" for n in names])
        self.of_paths = self.of_paths.astype(np.bool_)
        self.value_ends[number] = len(self.values)
        return number

    def number_counters(self, counters: Counters) -> int:
        """The number of a combination."""
        found = self.counters.get(counters.text)
        if found is not None:
            return found
        slots = self._slots
        self._slots_of.append([slots.setdefault(slot, len(slots)) for slot in counters.slots])
        return self.counters.setdefault(counters.text, len(self.counters))

    def number_values(self, names: Iterable[str]) -> list[int]:
        """The numbers of these counters of values."""
        numbers = self.value_counters
        return [numbers.setdefault(name, len(numbers)) for name in names]

    def forget_counters(self) -> None:
        """Combinations are numbered anew."""
        self.counters.clear()
        self._slots_of.clear()

    def forget(self) -> None:
        """Outcomes are numbered anew, counters stay."""
        self.judged.clear()
        self._numbers.clear()
        self.values, self.of_paths = self.values[:0], self.of_paths[:0]
