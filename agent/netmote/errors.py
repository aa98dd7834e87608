"""Errors by what the caller must do: fix the configuration, try again later, give this item up."""

from collections.abc import Sequence
from dataclasses import dataclass


class NetmoteError(Exception):
    """Root of every error netmote raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document: where, what, and what is allowed."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(NetmoteError):
    """The configuration (or a rule file) is wrong; carries every problem at once. Exit status 78 (EX_CONFIG)."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Retryable(NetmoteError):
    """It may work later: the data stays where it is durable. `after` is the peer's own wish in seconds, if it named one."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Permanent(NetmoteError):
    """It will never work: quarantine the item with this reason and go on."""


class PartialDelivery(NetmoteError):
    """Part of a batch was refused for ever. `rejected` maps the position in the batch to the reason; the rest was accepted."""

    def __init__(self, rejected: dict[int, str]) -> None:
        super().__init__(f"{len(rejected)} of a batch refused")
        self.rejected = dict(rejected)


class Unavailable(NetmoteError):
    """A part of this machine cannot be used (no permission, no such interface): run on without it, visibly."""
