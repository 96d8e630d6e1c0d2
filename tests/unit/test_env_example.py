"""`.env.example` is the whole list of settings, with the defaults that the code has."""

import re

from pydantic import AliasChoices, SecretStr

from tasks.settings import Settings
from tests.conftest import ROOT

EXAMPLES_ONLY = {
    "MIDDLEWATCH_ASN_DATABASE",
    "MIDDLEWATCH_FORMATS_FILE",
    "MIDDLEWATCH_RULES_FILE",
    "MIDDLEWATCH_SOURCE",
}


def variables() -> dict[str, str]:
    """What each field of Settings is called outside."""
    return {
        str(alias.choices[0])
        if isinstance(alias := field.validation_alias, AliasChoices)
        else f"MIDDLEWATCH_{name.upper()}": name
        for name, field in Settings.model_fields.items()
    }


def examples() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_every_setting_is_in_the_example_and_nothing_else():
    assert set(variables()) == set(examples())


def test_the_example_shows_the_defaults(monkeypatch):
    defaults = Settings()
    shown = {name: value for name, value in examples().items() if value}
    for name, value in shown.items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    for name in shown.keys() - EXAMPLES_ONLY:
        field = variables()[name]
        assert getattr(defaults, field) == getattr(settings, field), name


def test_the_example_holds_no_secret():
    secrets = [name for name, field in variables().items() if _is_secret(field)]

    assert [""] * (len(secrets) - 1) == [
        examples()[name] for name in secrets if name != "MIDDLEWATCH_DATABASE_URL"
    ]


def _is_secret(field: str) -> bool:
    return SecretStr.__name__ in str(Settings.model_fields[field].annotation)
