"""What must not come back: the policy that the model is given, and the secrets of this process."""

import base64
import codecs
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote, urlsplit

from tasks.settings import Settings

_PHRASE = 6
"""Words in a row that are the policy's and no accident."""
_STRETCH = 40
"""The same in letters and digits, whatever is between them."""
_SECRET = 8
"""Characters from which on a secret is looked for: a shorter one is in any text."""
_SECRET_NAME = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)")
_DOT = re.compile(r"\s?[\[({<]\s?(?:\.|dot|point)\s?[\])}>]\s?|\s+dot\s+|[。｡·•]")
_COLON = re.compile(r"[\[({<]:{1,2}[\])}>]")


@dataclass(frozen=True, slots=True)
class Confidential:
    """What no text may repeat."""

    policy: str = ""
    """Everything that is said to the model in every call."""
    secrets: tuple[str, ...] = ()

    def is_in(self, text: str) -> bool:
        """Whether *text* repeats a phrase of the policy, or a secret in one of its forms."""
        forms = (text, codecs.encode(text, "rot13"), text[::-1])
        known = _phrases_of_policy(self.policy)
        if any(not known.isdisjoint(_phrases(_words(form))) for form in forms):
            return True
        squeezed = _squeeze(text)
        stretches = _stretches_of_policy(self.policy)
        if any(squeezed[n : n + _STRETCH] in stretches for n in range(len(squeezed))):
            return True
        return any(form in squeezed for form in _forms(self.secrets))


NOTHING = Confidential()


def known_secrets(settings: Settings) -> tuple[str, ...]:
    """Every secret that *settings* and the environment hold."""
    password = urlsplit(settings.database_url.get_secret_value()).password or ""
    keys = (settings.tavily_api_key, settings.telegram_bot_token)
    named = (value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper()))
    found = (password, unquote(password), *(k.get_secret_value() for k in keys if k), *named)
    return tuple(sorted({secret for secret in found if secret}))


def fold(text: str) -> str:
    """*text* as a person reads it who wants to: without disguise, in lower case."""
    plain = unicodedata.normalize("NFKC", text)
    seen = "".join(c for c in plain if c.isspace() or unicodedata.category(c)[0] not in "CM")
    return _COLON.sub(":", _DOT.sub(".", " ".join(seen.lower().split())))


def _words(text: str) -> Sequence[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _phrases(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words[n : n + _PHRASE]) for n in range(len(words) - _PHRASE + 1))


@cache
def _phrases_of_policy(policy: str) -> frozenset[tuple[str, ...]]:
    return _phrases(_words(policy))


@cache
def _stretches_of_policy(policy: str) -> frozenset[str]:
    squeezed = _squeeze(policy)
    return frozenset(squeezed[n : n + _STRETCH] for n in range(len(squeezed) - _STRETCH + 1))


@cache
def _forms(secrets: tuple[str, ...]) -> frozenset[str]:
    """Each secret as it is, backwards and in the usual encodings, squeezed."""
    forms: set[str] = set()
    for secret in secrets:
        data = secret.encode()
        encoded = base64.b64encode(data).decode().rstrip("=")
        # what follows the secret changes the last character
        forms |= {secret, secret[::-1], codecs.encode(secret, "rot13"), encoded[:-1], data.hex()}
    return frozenset(s for form in forms if len(s := _squeeze(form)) >= _SECRET)


def _squeeze(text: str) -> str:
    return "".join(c for c in fold(text) if c.isalnum())
