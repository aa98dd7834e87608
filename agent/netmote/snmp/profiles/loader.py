"""Profile files to a choice by sysObjectID: every problem of every file at once, each with file, line, key, and what is allowed."""

from collections.abc import Sequence
from pathlib import Path

from netmote.config.builtin import builtin_path
from netmote.config.document import check_document, load_document
from netmote.errors import ConfigError, Problem
from netmote.snmp.oid import parse_oid
from netmote.snmp.profiles.document import Profile

BUILTIN = "builtin"
_SUFFIXES = (".yaml", ".yml")


class ProfileSet:
    """Profiles, and which of them a device gets."""

    def __init__(self, profiles: Sequence[Profile] = (), *, otherwise: Profile | None = None) -> None:
        """Of two for the same sysObjectID the later one counts: a user's own goes over a shipped one. `otherwise` fits what no
        other does.
        """
        self.profiles, self._otherwise = tuple(profiles), otherwise
        self._by_prefix = {parse_oid(prefix): profile for profile in profiles for prefix in profile.sys_object_id}

    def match(self, sys_object_id: bytes) -> Profile | None:
        """The profile of the longest beginning, arc by arc; `otherwise` when there is none. Takes OID content bytes."""
        fitting = [prefix for prefix in self._by_prefix if sys_object_id.startswith(prefix)]
        return self._by_prefix[max(fitting, key=len)] if fitting else self._otherwise


def load_profiles(paths: Sequence[str]) -> ProfileSet:
    """Read files and directories (of a directory every `.yaml` and `.yml`, by name); `builtin` stands for the shipped ones.

    Raises ConfigError with every problem.
    """
    problems: list[Problem] = []
    profiles: list[Profile] = []
    for file in _files(paths, problems):
        try:
            profiles.append(check_document(load_document(file), Profile))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return ProfileSet(profiles)


def _files(paths: Sequence[str], problems: list[Problem]) -> list[Path]:
    files: list[Path] = []
    for written in paths:
        path = builtin_path("profiles") if written == BUILTIN else Path(written)
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
            if not found:
                problems.append(Problem(str(path), None, "", f"holds no profile ({' or '.join(_SUFFIXES)})"))
            files += found
        elif path.exists():
            files.append(path)
        else:
            problems.append(Problem(str(path), None, "", "is not there; write a file, a directory or the word 'builtin'"))
    return list(dict.fromkeys(files))
