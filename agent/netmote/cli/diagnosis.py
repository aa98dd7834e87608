"""One line of `netmote doctor`: what was looked at, how it is, and how to mend it. Values, no looking."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    WARN = "warn"  # it works, and something about it will hurt or already costs
    FAIL = "fail"  # it does not work


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found of one thing."""

    subject: str  # "capture", "device core-sw1"
    verdict: Verdict
    text: str
    fix: str = ""  # what to do; empty when nothing is to be done


def ok(subject: str, text: str) -> Diagnosis:
    """Nothing is to be done."""
    return Diagnosis(subject, Verdict.OK, text)


def warn(subject: str, text: str, fix: str) -> Diagnosis:
    """It works, not well."""
    return Diagnosis(subject, Verdict.WARN, text, fix)


def fail(subject: str, text: str, fix: str) -> Diagnosis:
    """It does not work."""
    return Diagnosis(subject, Verdict.FAIL, text, fix)


def worst(diagnoses: Iterable[Diagnosis]) -> Verdict:
    """The gravest verdict; `ok` of none."""
    order = list(Verdict)
    return max((each.verdict for each in diagnoses), key=order.index, default=Verdict.OK)
