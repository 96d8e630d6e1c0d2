"""Where things are, and the secrets to reach them: everything that differs per environment."""

from decimal import Decimal
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tasks.model.errors import ConfigurationError
from tasks.model.verdicts import AnalystName

HAIKU = "global.anthropic.claude-haiku-4-5-20251001-v1:0"


def _split(text: object) -> object:
    return text.replace(",", " ").split() if isinstance(text, str) else text


def _check_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("it is no IANA time zone; write one such as Europe/Rome")
    return name


def _check_web_address(url: str) -> str:
    parts = urlsplit(url)  # a ValueError of its own for half an IPv6 address
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no http or https URL; unset it to use the vendor's")
    return url.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_check_web_address)]


class Settings(BaseSettings):
    """
    Read from the environment; names that are not ours keep their standard spelling.

    Thresholds live in tasks/detect/rules.yml, what differs per run is a flow parameter, and the
    schedule is in prefect.yaml. AWS credentials and endpoints come from the standard AWS chain.
    """

    model_config = SettingsConfigDict(
        env_prefix="MIDDLEWATCH_", env_file=".env", extra="ignore", frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _take_empty_for_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As compose files and half-filled copies of .env.example have them."""
        return {name: value for name, value in values.items() if value != ""}

    source: Annotated[
        str | None,
        Field(
            description="What scheduled scans read: a directory, or s3://bucket/prefix.",
            examples=["s3://acme-logs/nginx/", "/var/log/nginx"],
        ),
    ] = None
    database_url: Annotated[
        SecretStr,
        Field(description="SQLAlchemy URL: sqlite:///PATH or mysql+pymysql://USER:PASS@HOST/DB."),
    ] = SecretStr("sqlite:///.middlewatch/middlewatch.db")
    rules_file: Annotated[
        Path | None,
        Field(
            description="Rules of your own, laid over the shipped tasks/detect/rules.yml by id; "
            "with `extends: none` they stand alone."
        ),
    ] = None
    syslog_timezone: Annotated[
        str,
        AfterValidator(_check_zone),
        Field(description="IANA zone of syslog times that name none.", examples=["Europe/Rome"]),
    ] = "UTC"

    max_object_bytes: Annotated[
        int,
        Field(ge=1, description="Bytes of one object, decompressed; a larger one is quarantined."),
    ] = 64 * 1024**3
    max_compression_ratio: Annotated[
        int,
        Field(
            ge=1,
            description="Decompressed bytes per stored byte, from 64 MiB on; above: quarantined.",
        ),
    ] = 250

    formats_file: Annotated[
        Path | None,
        Field(description="Formats of your own, and which objects have which; unset: detected."),
    ] = None
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(
            description="Networks of proxies whose X-Forwarded-For is believed, with commas.",
            examples=["10.0.0.0/8, 2001:db8::/32"],
        ),
    ] = ()

    asn_database: Annotated[
        Path | None,
        Field(
            description="mmdb file with autonomous systems, such as GeoLite2-ASN.mmdb, for rules "
            "that count by source_asn."
        ),
    ] = None

    analyst: Annotated[
        AnalystName, Field(description="Who judges: bedrock, or rules (no model, no network).")
    ] = AnalystName.BEDROCK
    bedrock_model_id: Annotated[
        str, Field(description="Model or inference profile id on Amazon Bedrock.")
    ] = HAIKU
    bedrock_input_usd_per_million: Annotated[
        Decimal | None, Field(ge=0, description="Price of input tokens; unset: the list price.")
    ] = None
    bedrock_output_usd_per_million: Annotated[
        Decimal | None, Field(ge=0, description="Price of output tokens; unset: the list price.")
    ] = None
    bedrock_concurrency: Annotated[
        int, Field(ge=1, le=64, description="Suspects judged at the same time.")
    ] = 4
    bedrock_timeout_seconds: Annotated[
        int, Field(ge=1, le=600, description="Longest wait for one answer of the model.")
    ] = 60

    budget_calls_per_run: Annotated[
        int, Field(ge=0, le=1000, description="Calls of the model in one run.")
    ] = 100
    budget_calls_per_day: Annotated[
        int, Field(ge=0, description="Calls of the model in one day, UTC.")
    ] = 2_000
    budget_tokens_per_run: Annotated[
        int, Field(ge=0, description="Tokens in and out in one run.")
    ] = 1_000_000
    budget_tokens_per_day: Annotated[
        int, Field(ge=0, description="Tokens in and out in one day.")
    ] = 10_000_000
    budget_usd_per_run: Annotated[
        float, Field(ge=0, description="US dollars for the model in one run.")
    ] = 1.0
    budget_usd_per_day: Annotated[
        float, Field(ge=0, description="US dollars for the model in one day.")
    ] = 10.0

    tavily_api_key: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices("TAVILY_API_KEY"), description="Unset: no web research."
        ),
    ] = None
    tavily_api_url: Annotated[
        WebAddress,
        Field(validation_alias=AliasChoices("TAVILY_API_URL"), description="API base URL."),
    ] = "https://api.tavily.com"
    max_searches: Annotated[
        int, Field(ge=0, le=20, description="Web searches per suspect; 0 turns research off.")
    ] = 2

    telegram_bot_token: Annotated[
        SecretStr | None,
        Field(validation_alias=AliasChoices("TELEGRAM_BOT_TOKEN"), description="Unset: no alerts."),
    ] = None
    telegram_chat_id: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("TELEGRAM_CHAT_ID"),
            description="Chat, group or @channel that is alerted.",
        ),
    ] = None
    telegram_api_url: Annotated[
        WebAddress,
        Field(validation_alias=AliasChoices("TELEGRAM_API_URL"), description="API base URL."),
    ] = "https://api.telegram.org"


@cache
def settings() -> Settings:
    """
    The settings of this process.

    Raises:
        ConfigurationError: A value is malformed; names the variable, not the value. Or there is
            a .env that cannot be read.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable(str(e['loc'][0]))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_input=False)
        )
        told = f"Set these environment variables right and try again: {problems}."
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        told = f"The file {Path('.env').absolute()} cannot be read ({why}): mend it or its rights."
    # outside the except blocks the values would not be in the traceback's context either
    raise ConfigurationError(told)


def _variable(field: str) -> str:
    return field if field.isupper() else f"MIDDLEWATCH_{field.upper()}"
