"""One line in, what it says out: the choice among the formats."""

from tasks.collect.formats.access import parse_access
from tasks.collect.formats.clock import ObjectClock
from tasks.collect.formats.fields import Parsed
from tasks.collect.formats.syslog import parse_syslog
from tasks.model.events import Unparsed

_FORMATS = (parse_access, parse_syslog)
_UNKNOWN = Unparsed("it has none of the known formats")
_PADDING = b"\0 \t\r\n\xef\xbb\xbf"
"""A byte order mark, and the NULs that a crash or a truncation under the writer leaves."""
_PADDING_STARTS = frozenset(_PADDING[i : i + 1] for i in range(len(_PADDING)))


class LineParser:
    """
    Parses the lines of one object, which may mix formats.

    What a line says never depends on the lines before it: the format that matched last is only
    tried first.
    """

    def __init__(self, clock: ObjectClock) -> None:
        self._clock = clock
        self._formats = list(_FORMATS)

    def parse(self, line: bytes) -> Parsed:
        """
        The events of *line* (without its line feed), or why there are none; never raises.

        Empty for lines that are understood and say nothing that is counted: blank ones,
        comments and headers (`#`), and what other programs wrote to a syslog file.
        """
        if line[:1] in _PADDING_STARTS:
            line = line.strip(_PADDING)
        parsed = self._try_formats(line)
        if parsed is not None:
            return parsed
        return () if not line or line.startswith(b"#") else _UNKNOWN

    def _try_formats(self, line: bytes) -> Parsed | None:
        for position, parse in enumerate(self._formats):
            parsed = parse(line, self._clock)
            if parsed is not None:
                if position:
                    self._formats.insert(0, self._formats.pop(position))
                return parsed
        return None


def parse_line(line: bytes, clock: ObjectClock) -> Parsed:
    """What a single line says; a LineParser does the same and is faster on many."""
    return LineParser(clock).parse(line)
