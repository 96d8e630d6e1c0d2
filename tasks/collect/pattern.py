"""Glob patterns over object keys: `**/` is any number of directories, `*` stays within one."""

import re
from dataclasses import dataclass, field

from tasks.model.errors import ConfigurationError

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_WILDCARDS = {"**/": r"(?:[^/]*/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    A glob over whole keys relative to the source, with `/` between their parts.

    >>> Pattern("**/access.log*").matches("web-01/access.log.1")
    True
    >>> Pattern("*.log").matches("web-01/access.log")
    False
    """

    text: str = "**/*"
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ConfigurationError when it can match nothing."""
        if not self.text or self.text.startswith("/"):
            raise ConfigurationError(
                f"The pattern '{self.text}' matches nothing: give a glob relative to the source, "
                "such as **/*.log."
            )
        try:
            compiled = re.compile("".join(map(_translate, _TOKEN.findall(self.text))), re.DOTALL)
        except re.error:
            raise ConfigurationError(
                f"The pattern '{self.text}' is not a valid glob: check its [...] part."
            ) from None
        object.__setattr__(self, "_compiled", compiled)

    def matches(self, key: str) -> bool:
        """Whether the whole *key* matches."""
        return self.text in ("**", "**/*") or self._compiled.fullmatch(key) is not None


def _translate(token: str) -> str:
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    if len(token) > 1:
        negation = "^" if token[1] == "!" else ""
        inside = token[2:-1] if negation else token[1:-1]
        return f"[{negation}{inside.replace(chr(92), chr(92) * 2).replace('[', chr(92) + '[')}]"
    return re.escape(token)
