"""YAML files that users write: checked whole, with the line and field of every problem."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML, Node
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tasks.model.errors import ConfigurationError

Location = tuple[str | int, ...]


class Entry(BaseModel):
    """What such a file may say; a field that nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


EntryModel = TypeVar("EntryModel", bound=Entry)


def read_document(kind: str, path: Path) -> str:
    """
    The text of the file at *path*.

    Args:
        kind: What it is to people, such as `rules file`.
        path: Where it is.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    raise ConfigurationError(
        f"The {kind} {path} cannot be read ({reason}); correct it or name another one."
    )


class Document:
    """A file with the line of everything in it, and what is wrong with it so far."""

    def __init__(self, kind: str, name: str, text: str) -> None:
        self._name = f"{kind} {name}"
        self.problems: list[tuple[int, str]] = []
        try:
            yaml = YAML(typ="safe")
            self._root: Node | None = yaml.compose(text)
            self.content = self._root and yaml.constructor.construct_document(self._root)
        except MarkedYAMLError as error:
            mark = error.problem_mark
            reason = f"line {mark.line + 1 if mark else 1}: {error.problem}"
        except YAMLError as error:
            reason = str(error).replace("\n", " ")
        else:
            return
        raise ConfigurationError(f"Correct the {self._name}, it is not YAML: {reason}.")

    def validate(
        self, model: type[EntryModel], raw: object, at: Location, elsewhere: str = ""
    ) -> EntryModel | None:
        """*raw* as *model*, or None with its problems noted."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                message = problem["msg"].removeprefix("Value error, ")
                if problem["type"] == "model_type":  # it would name a class of ours
                    message = "Input should be fields with values, one a line"
                self.note((*at, *problem["loc"]), message[:1].lower() + message[1:], elsewhere)
        return None

    def note(self, at: Location, problem: str, elsewhere: str = "") -> None:
        """
        Remember *problem* with the line of *at*, or of the nearest that exists around it.

        Args:
            elsewhere: What *at* is in, where that is not in this file.
        """
        line, names = (1, []) if elsewhere else self._locate(at)
        place = ".".join((elsewhere, *map(str, at)) if elsewhere else names)
        if not elsewhere:
            place = f"line {line}, {place}" if place else f"line {line}"
        self.problems.append((line, f"{place}: {problem}"))

    def refuse(self) -> None:
        """Raise one ConfigurationError when there are problems."""
        if self.problems:
            told = "; ".join(text for _, text in sorted(set(self.problems)))
            raise ConfigurationError(f"Correct the {self._name}: {told}.")

    def _locate(self, at: Location) -> tuple[int, list[str]]:
        node, line, names = self._root, 1, []
        for step in at:
            key, node = _child(node, step)
            if key is None:
                continue
            line = key.start_mark.line + 1
            names.append(_name(node, step))
        if not names or not isinstance(at[-1], int):
            missing = str(at[-1]) if at else ""
            if missing and (not names or names[-1] != missing):
                names.append(missing)
        return line, names


def _child(node: Node | None, step: str | int) -> tuple[Node | None, Node | None]:
    """The node that says where *step* is, and the node of its content."""
    if node is None or isinstance(node.value, str):
        return None, node
    if isinstance(step, int):
        found = node.value[step] if step < len(node.value) else None
        return (None, node) if found is None or isinstance(found, tuple) else (found, found)
    pairs = (pair for pair in node.value if isinstance(pair, tuple))
    return next((pair for pair in pairs if pair[0].value == step), (None, node))


def _name(node: Node | None, step: str | int) -> str:
    """How people find entry number *step*: by its id."""
    if isinstance(step, str):
        return step
    _, content = _child(node, "id")
    return str(content.value) if content is not node and content is not None else f"[{step + 1}]"
