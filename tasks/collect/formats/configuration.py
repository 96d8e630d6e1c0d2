"""The formats file: formats that a user declares, and which objects are read in which format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tasks.collect.formats.forwarded import Network, TrustedProxies
from tasks.collect.formats.json_lines import JsonFields, parse_json_as
from tasks.collect.formats.log_format import FormatError, compile_apache, compile_nginx
from tasks.collect.formats.parser import AUTO, BUILT_IN, W3C, Format, FormatChoice
from tasks.collect.formats.request import REQUEST_FIELDS
from tasks.collect.pattern import Pattern
from tasks.model.document import Document, Entry, read_document
from tasks.model.errors import ConfigurationError

_KIND = "formats file"
_FORMAT_NAMES = (AUTO, W3C, *sorted(BUILT_IN))


@dataclass(frozen=True, slots=True)
class Formats:
    """How the lines of every object are read."""

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    forced: tuple[tuple[Pattern, tuple[Format | str, ...]], ...] = ()

    def choose(self, object_key: str) -> FormatChoice:
        """What the first pattern that matches says; detection where none does."""
        for pattern, formats in self.forced:
            if pattern.matches(object_key):
                return FormatChoice(self.proxies, formats)
        return FormatChoice(self.proxies)


def load_formats(path: Path | None, trusted_proxies: Sequence[Network] = ()) -> Formats:
    """
    What the formats file at *path* says; without one, every object is read by detection.

    Raises:
        ConfigurationError: The file cannot be read, or says something that makes no sense; one
            message names every problem with its line and field.
    """
    proxies = TrustedProxies(trusted_proxies)
    if path is None:
        return Formats(proxies)
    document = Document(_KIND, str(path), read_document(_KIND, path))
    file = document.validate(_FormatsFile, document.content or {}, ())
    own = _compile_formats(file, document) if file else {}
    forced = _resolve_objects(file, own, document) if file else ()
    document.refuse()
    return Formats(proxies, forced)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Places = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_as_list),
    Field(min_length=1),
]


class _FormatEntry(Entry):
    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$", max_length=60)]
    nginx: str | None = None
    apache: str | None = None
    json_fields: Annotated[dict[str, Places] | None, Field(alias="json")] = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        declared = [v for v in (self.nginx, self.apache, self.json_fields) if v is not None]
        if len(declared) != 1:
            raise ValueError("declare it as one of nginx, apache or json")
        return self

    @field_validator("json_fields")
    @classmethod
    def _has_request_fields(cls, fields: dict[str, Places] | None) -> dict[str, Places] | None:
        if fields is None:
            return None
        unknown = sorted(fields.keys() - REQUEST_FIELDS)
        if unknown:
            known = ", ".join(sorted(REQUEST_FIELDS))
            raise ValueError(f"no field is called {', '.join(unknown)}; use {known}")
        if missing := sorted({"timestamp", "source_ip"} - fields.keys()):
            raise ValueError(f"says not where {' and '.join(missing)} can be found")
        return fields


class _ObjectEntry(Entry):
    pattern: str
    formats: Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]

    @field_validator("pattern")
    @classmethod
    def _is_glob(cls, pattern: str) -> str:
        try:
            Pattern(pattern)
        except ConfigurationError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return pattern


class _FormatsFile(Entry):
    formats: tuple[_FormatEntry, ...] = ()
    objects: tuple[_ObjectEntry, ...] = ()


def _compile_formats(file: _FormatsFile, document: Document) -> dict[str, Format]:
    own: dict[str, Format] = {}
    for number, entry in enumerate(file.formats):
        if entry.id in own or entry.id in _FORMAT_NAMES:
            document.note(("formats", number, "id"), f"{entry.id} is taken; choose another id")
            continue
        try:
            own[entry.id] = _compile_format(entry)
        except FormatError as error:
            kind = "nginx" if entry.nginx is not None else "apache"
            document.note(("formats", number, kind), str(error))
            own[entry.id] = _refused
    return own


def _compile_format(entry: _FormatEntry) -> Format:
    if entry.nginx is not None:
        return compile_nginx(entry.nginx).parse
    if entry.apache is not None:
        return compile_apache(entry.apache).parse
    fields = {
        name: [tuple(place.split(".")) for place in places]
        for name, places in (entry.json_fields or {}).items()
    }
    return partial(parse_json_as, JsonFields(fields))


def _refused(_line: bytes, _context: object) -> None:
    """Stands for a format that was not understood until the file is refused."""


def _resolve_objects(
    file: _FormatsFile, own: Mapping[str, Format], document: Document
) -> tuple[tuple[Pattern, tuple[Format | str, ...]], ...]:
    for number, entry in enumerate(file.objects):
        for name in entry.formats:
            if name not in own and name not in _FORMAT_NAMES:
                known = ", ".join((*own, *_FORMAT_NAMES))
                document.note(
                    ("objects", number, "formats"), f"no format is called {name}; use {known}"
                )
    return tuple(
        (Pattern(entry.pattern), tuple(own.get(name, name) for name in entry.formats))
        for entry in file.objects
    )
