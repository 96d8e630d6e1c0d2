"""Patterns say which keys belong to a source."""

import pytest

from tasks.collect.pattern import Pattern
from tasks.model.errors import ConfigurationError


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("**/*", "a/b/c.log", None),
        ("*.log", "a.log", "b/a.log"),
        ("**/*.log", "a.log", "a.log.1"),
        ("**/*.log*", "a/b/c.log.1.gz", "a/log/c"),
        ("web-?/access.log", "web-1/access.log", "web-10/access.log"),
        ("web-[12].log", "web-2.log", "web-3.log"),
        ("web-[!12].log", "web-3.log", "web-2.log"),
        ("a+b (1).log", "a+b (1).log", "aab (1).log"),
        ("logs/**", "logs/a/b", "other/a"),
    ],
)
def test_patterns(pattern, matching, other):
    """A pattern matches whole keys, and a star does not cross a slash."""
    assert Pattern(pattern).matches(matching)
    assert other is None or not Pattern(pattern).matches(other)


@pytest.mark.parametrize("pattern", ["", "/var/log/*.log", "[z-a]"])
def test_invalid(pattern):
    """A pattern that can match nothing is refused when it is given."""
    with pytest.raises(ConfigurationError, match="pattern"):
        Pattern(pattern)
