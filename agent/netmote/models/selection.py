"""Which version of each model is in use, what it replaced, and what was found wanting. A value and its file; decides nothing.

models.json in the state directory, replaced atomically: after a kill -9 it is the old one or the new one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from netmote.durable_file import replace_durably
from netmote.errors import NetmoteError

FILE_NAME = "models.json"
_FORMAT = 1
# Versions that were rolled back, for each name; the oldest gives way.
_MOST_REJECTED = 32
_MOST_BYTES = 2**16


class SelectionUnreadable(NetmoteError):
    """The file is damaged, or of a later version; the message names it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen of one name."""

    active: str  # version
    previous: str | None = None  # the version it replaced, which a rollback goes back to
    rejected: tuple[str, ...] = ()  # rolled back: not put in shadow again by itself


@dataclass(frozen=True, slots=True)
class Selection:
    """The choices, by name of the model."""

    choices: Mapping[str, Choice] = field(default_factory=dict)

    def settled(self, name: str, version: str) -> "Selection":
        """`version` is in use and nothing lies before it; what was rejected stays rejected."""
        before = self.choices.get(name)
        return self._with(name, Choice(version, None, before.rejected if before else ()))

    def promoted(self, name: str, version: str) -> "Selection":
        """`version` is in use from now on; what was in use becomes what a rollback goes back to. Raises ValueError when it is already."""
        before = self.choices.get(name)
        if before is None:
            return self.settled(name, version)
        if before.active == version:
            raise ValueError(f"{name} {version} is in use already")
        rejected = tuple(each for each in before.rejected if each != version)
        return self._with(name, Choice(version, before.active, rejected))

    def rolled_back(self, name: str) -> "Selection":
        """What was in use before is in use again, and what is now in use is rejected. Raises ValueError when there is nothing before."""
        choice = self.choices.get(name)
        if choice is None or choice.previous is None:
            raise ValueError(f"{name} has no version to go back to")
        return self._with(name, Choice(choice.previous, None, (*choice.rejected, choice.active)[-_MOST_REJECTED:]))

    def _with(self, name: str, choice: Choice) -> "Selection":
        return Selection({**self.choices, name: choice})


def read_selection(path: Path) -> Selection:
    """What stands in the file; nothing chosen when there is none. Raises SelectionUnreadable."""
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_MOST_BYTES))
        if document["format"] != _FORMAT:
            raise SelectionUnreadable(f"{path}: format {document['format']!r} is not known here")
        choices = {
            str(name): Choice(
                str(choice["active"]),
                None if choice["previous"] is None else str(choice["previous"]),
                tuple(map(str, choice["rejected"])),
            )
            for name, choice in document["choices"].items()
        }
    except FileNotFoundError:
        return Selection()
    except OSError as error:
        raise SelectionUnreadable(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SelectionUnreadable(f"{path}: damaged: {error}") from error
    return Selection(choices)


def write_selection(path: Path, selection: Selection) -> None:
    """Replace the file; on return it is on the disk. Raises OSError; then the old one stands."""
    document = {"format": _FORMAT, "choices": {name: asdict(choice) for name, choice in sorted(selection.choices.items())}}
    replace_durably(path, json.dumps(document).encode())
