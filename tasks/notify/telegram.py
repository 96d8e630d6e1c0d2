"""
The only module that knows Telegram's Bot API.

The bot token is part of every URL, and requests and urllib3 put URLs into exceptions and logs.
So no exception of theirs leaves this module, not even as a context, no local variable keeps a
URL, and urllib3's log records are redacted.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import requests
from pydantic import BaseModel, SecretStr, ValidationError
from urllib3.exceptions import HTTPError, NewConnectionError

from tasks.model.alerts import Told
from tasks.model.deadline import answer_within
from tasks.model.errors import ConfigurationError, PermanentError, TransientError
from tasks.model.incidents import Severity
from tasks.model.text import count_units, cut, make_visible
from tasks.notify.message import Message

_TIMEOUT_SECONDS: Final = (5, 30)  # to connect, to answer
_LONGEST_WAIT_SECONDS: Final = 60
_TOKEN_IN_PATH = re.compile(r"/bot[^/\s]+/")

logger = logging.getLogger(__name__)


class _RedactToken(logging.Filter):
    """Log records without what stands between `/bot` and the next slash."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.msg = _TOKEN_IN_PATH.sub("/bot***/", record.getMessage())
        record.args = ()
        return True


for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_RedactToken())


class _SentMessage(BaseModel):
    message_id: int


class _Parameters(BaseModel):
    retry_after: int | None = None
    migrate_to_chat_id: int | None = None


class _Answer(BaseModel):
    """What the Bot API says; `https://core.telegram.org/bots/api#making-requests`."""

    ok: bool
    result: _SentMessage | None = None
    error_code: int | None = None
    description: str = ""
    parameters: _Parameters = _Parameters()


@dataclass(slots=True)
class TelegramChannel:
    """One chat that is told. Safe to use from several threads."""

    api_url: str
    token: SecretStr
    chat_id: str
    """Follows a group that Telegram upgrades to a supergroup."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def __post_init__(self) -> None:
        """
        Check what can be checked without a call.

        Raises:
            ConfigurationError: The token or the chat is empty.
        """
        if not self.token.get_secret_value().strip():
            raise ConfigurationError(
                "TELEGRAM_BOT_TOKEN is empty; set it to the token that @BotFather gave you."
            )
        if not self.chat_id.strip():
            raise ConfigurationError(
                "TELEGRAM_CHAT_ID is empty; set it to the id of the chat, or to @channel."
            )

    def send(self, message: Message, follows: Told | None = None) -> int:
        """
        Telegram has accepted *message*; its id there, in the chat that is then *chat_id*.

        One attempt. What Telegram itself says to do differently is done once: wait (up to a
        minute), go to the group's new id, or leave out markup that it cannot parse.

        Args:
            message: What is told.
            follows: Where the message before it stands: this one is shown as a reply to that.

        Raises:
            PermanentError: Telegram refuses it; sending it again changes nothing.
            TransientError: Worth another attempt. If it is ambiguous, Telegram may have
                delivered the message although no answer came: there is no idempotency key.
        """
        body = self._compose(message)
        done: set[str] = set()
        while True:
            status, answer = self._call(body | self._refer(follows))
            if answer and answer.ok and answer.result:
                return answer.result.message_id
            remedy = self._find_remedy(status, answer)
            if answer is None or remedy is None or remedy in done:
                raise self._explain(status, answer)
            done.add(remedy)
            body = self._apply(remedy, answer, message, body)

    def _compose(self, message: Message) -> dict[str, Any]:
        return {
            "chat_id": self.chat_id,
            "text": message.html,
            "parse_mode": "HTML",
            # Telegram would fetch attackers' URLs to draw previews
            "link_preview_options": {"is_disabled": True},
            "disable_notification": message.severity.rank < Severity.HIGH.rank,
        }

    def _refer(self, follows: Told | None) -> dict[str, Any]:
        """The same id is another message in another chat, also in the group's own successor."""
        if follows is None or follows.chat_id != self.chat_id or not follows.message_id.isdecimal():
            return {}
        reference = {
            "message_id": int(follows.message_id),
            # somebody may have deleted it
            "allow_sending_without_reply": True,
        }
        return {"reply_parameters": reference}

    @staticmethod
    def _find_remedy(status: int, answer: _Answer | None) -> str | None:
        """What Telegram's refusal asks to do differently, if anything."""
        if answer is None or answer.ok:
            return None
        if answer.parameters.migrate_to_chat_id is not None:
            return "migrate"
        wait = answer.parameters.retry_after
        if status == 429 and wait is not None and 0 <= wait <= _LONGEST_WAIT_SECONDS:
            return "wait"
        if status == 400 and "can't parse entities" in answer.description.lower():
            return "plain"
        return None

    def _apply(
        self, remedy: str, answer: _Answer, message: Message, body: dict[str, Any]
    ) -> dict[str, Any]:
        """The request to send next."""
        if remedy == "migrate":
            self.chat_id = str(answer.parameters.migrate_to_chat_id)
            logger.warning(
                "The Telegram group became a supergroup: set TELEGRAM_CHAT_ID to %s.", self.chat_id
            )
            return body | {"chat_id": self.chat_id}
        if remedy == "wait":
            self.sleep(answer.parameters.retry_after or 0)
            return body
        logger.warning("Telegram could not parse an alert's markup; it is sent as plain text.")
        plain = {k: v for k, v in body.items() if k != "parse_mode"} | {"text": message.plain}
        # as code nothing in it becomes a link, and Telegram has nothing to parse
        length = count_units(message.plain)
        return plain | {"entities": [{"type": "pre", "offset": 0, "length": length}]}

    def _call(self, body: dict[str, Any]) -> tuple[int, _Answer | None]:
        """The HTTP status and the answer, None when it is not one of the Bot API's."""
        content = b""
        try:
            status, content = answer_within(sum(_TIMEOUT_SECONDS), lambda: self._post(body))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failure = _name_failure(error)
        else:
            # a gateway may quote the path that it was asked for
            answer = _parse(content.replace(self.token.get_secret_value().strip().encode(), b"***"))
            return (answer and answer.error_code) or status, answer
        # raised out here: in the except block the URL would be in the new error's context
        raise failure

    def _post(self, body: dict[str, Any]) -> tuple[int, bytes]:
        with requests.post(
            f"{self.api_url}/bot{quote(self.token.get_secret_value().strip(), safe=':')}"
            "/sendMessage",
            json=body,
            timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,
        ) as response:
            return response.status_code, response.content

    @staticmethod
    def _explain(status: int, answer: _Answer | None) -> PermanentError | TransientError:
        """The refusal as one of our errors."""
        said = ""
        if answer and answer.description:
            said = f": {cut(make_visible(answer.description).rstrip('.'), 200)}"
        what = f"Telegram refused the alert with status {status}{said}"
        if status == 429:
            wait = answer.parameters.retry_after if answer else None
            return TransientError(f"{what}; it is sent later.", retry_after_seconds=wait)
        if status >= 500 or status == 408:
            # a gateway that gave up waiting does not know what became of the request
            return TransientError(f"{what}; it is sent later.", is_ambiguous=status == 504)
        if 200 <= status < 300:
            return TransientError(
                f"TELEGRAM_API_URL gave an answer that is not the Bot API's (status {status});"
                " check that it leads there; the alert may have been delivered.",
                is_ambiguous=True,
            )
        return PermanentError(f"{what}; {_advise(status)}.")


def _advise(status: int) -> str:
    return {
        400: "check TELEGRAM_CHAT_ID, and that the bot may write to that chat",
        401: "set TELEGRAM_BOT_TOKEN to the token that @BotFather gave you",
        403: "let the bot into the chat, or unblock it there",
        404: "check TELEGRAM_BOT_TOKEN and TELEGRAM_API_URL",
    }.get(status, "check TELEGRAM_API_URL")


def _parse(content: bytes) -> _Answer | None:
    try:
        return _Answer.model_validate_json(content)
    except ValidationError:
        return None


def _name_failure(error: Exception) -> TransientError:
    """Our error for a call without an answer; keeps nothing of *error*, which holds the URL."""
    kind = type(error).__name__
    if _was_never_sent(error):
        return TransientError(
            f"Telegram could not be reached ({kind}); the alert is sent later."
            " Check the network and TELEGRAM_API_URL if this goes on."
        )
    return TransientError(
        f"Telegram did not answer ({kind}); the alert may or may not have been delivered.",
        is_ambiguous=True,
    )


def _was_never_sent(error: Exception) -> bool:
    if isinstance(
        error,
        requests.exceptions.ConnectTimeout
        | requests.exceptions.InvalidURL
        | requests.exceptions.SSLError
        | requests.exceptions.ProxyError,
    ):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)
