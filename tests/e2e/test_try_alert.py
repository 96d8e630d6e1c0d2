"""`python -m flows.try_alert`, as a person runs it after writing down a token."""

import pytest

from flows import try_alert


def run() -> int:
    """Its exit code."""
    with pytest.raises(SystemExit) as exit_:
        try_alert.main()
    return int(str(exit_.value.code))


def test_the_chat_gets_one_message(telegram, environ):
    """And the command says where to look."""
    assert run() == 0
    assert [m.text for m in telegram.messages] == [try_alert.TEXT]


def test_without_a_token_it_says_what_to_set(environ, capsys):
    """Exit code 2, one sentence, nothing sent."""
    assert run() == 2
    assert "TELEGRAM_BOT_TOKEN" in capsys.readouterr().err
