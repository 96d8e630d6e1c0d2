"""What an environment may say, and what is said about the rest."""

from traceback import format_exception

import pytest

from tasks.model.errors import ConfigurationError
from tasks.settings import Settings, settings


@pytest.mark.parametrize("variable", ["TELEGRAM_API_URL", "TAVILY_API_URL"])
@pytest.mark.parametrize(
    "url", ["api.example.org", "ftp://api.example.org", "http://[::1", "http://"]
)
def test_an_address_that_is_none_is_refused_at_the_start(monkeypatch, variable, url):
    """By the name of its variable, before anything is read, and without repeating it."""
    monkeypatch.setenv(variable, url)

    with pytest.raises(ConfigurationError, match=variable) as caught:
        settings()

    assert url not in str(caught.value)


def test_a_slash_at_the_end_of_an_address_is_no_other_address(monkeypatch):
    """People copy them as they come."""
    monkeypatch.setenv("TELEGRAM_API_URL", "https://relay.example.org/telegram/")

    assert settings().telegram_api_url == "https://relay.example.org/telegram"


def test_what_is_set_to_nothing_is_not_set(monkeypatch, tmp_path):
    """Compose files and half-filled .env files have it; an empty variable also hides that of .env."""
    (tmp_path / ".env").write_text("TAVILY_API_KEY=secret\nMIDDLEWATCH_RULES_FILE=\n")
    monkeypatch.setenv("TAVILY_API_KEY", "")
    for variable in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_API_URL", "MIDDLEWATCH_DATABASE_URL"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("MIDDLEWATCH_BEDROCK_INPUT_USD_PER_MILLION", "")

    assert settings() == Settings.model_construct()


def test_all_that_is_wrong_is_said_at_once(monkeypatch):
    """Each by its variable, in one sentence, without a value: it may be a secret in the wrong place."""
    monkeypatch.setenv("MIDDLEWATCH_BEDROCK_CONCURRENCY", "s3cr3t-word")
    monkeypatch.setenv("MIDDLEWATCH_SYSLOG_TIMEZONE", "Rome")

    with pytest.raises(ConfigurationError) as caught:
        settings()

    assert "MIDDLEWATCH_BEDROCK_CONCURRENCY" in str(caught.value)
    assert "MIDDLEWATCH_SYSLOG_TIMEZONE" in str(caught.value)
    assert "s3cr3t-word" not in str(caught.value)


def test_an_env_file_that_cannot_be_read_is_named(tmp_path):
    """It was a traceback, with the content of the file in it."""
    (tmp_path / ".env").write_bytes(b"TAVILY_API_KEY=s3cr3t-word\nMIDDLEWATCH_SOURCE=\xff\n")

    with pytest.raises(ConfigurationError) as caught:
        settings()

    assert str(tmp_path / ".env") in str(caught.value)
    assert "s3cr3t-word" not in "".join(format_exception(caught.value))
