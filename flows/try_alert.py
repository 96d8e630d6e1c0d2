"""Send one harmless alert, so that the first real one is not the first try."""

import sys

from rich.console import Console

from flows.terminal import print_complaint
from tasks.model.errors import ConfigurationError, MiddlewatchError
from tasks.model.incidents import Severity
from tasks.notify.message import Message
from tasks.notify.telegram import TelegramChannel
from tasks.settings import settings

TEXT = "Middlewatch can reach you here. Incidents will look more interesting."


def main() -> None:
    """Exits with 0 when Telegram took it, 1 when it may later, 2 when a setting is wrong."""
    error = _send()
    if error is None:
        Console().print("Telegram took the message: look at the chat.")
        sys.exit(0)
    print_complaint(str(error))
    sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _send() -> MiddlewatchError | None:
    try:
        configured = settings()
        token, chat_id = configured.telegram_bot_token, configured.telegram_chat_id
        if token is None or chat_id is None:
            return ConfigurationError(
                "Alerts are off: set TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID, in .env or in the"
                " environment."
            )
        channel = TelegramChannel(configured.telegram_api_url, token, chat_id)
        channel.send(Message(TEXT, TEXT, Severity.INFORMATIONAL))
    except MiddlewatchError as error:
        return error
    return None


if __name__ == "__main__":
    main()
