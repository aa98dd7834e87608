"""A profile as it is written: devices by the beginning of their sysObjectID, and objects with unit, scale and limits."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from netmote.config.section import Section
from netmote.snmp.oid import parse_oid


def _dotted(value: object) -> str:
    if isinstance(value, str):
        try:
            parse_oid(value)
        except ValueError:
            pass
        else:
            return value.strip(".")
    raise ValueError(f"{value!r} is no object identifier; write it as numbers with dots, such as 1.3.6.1.4.1.9")


def _cell(value: object) -> object:
    if isinstance(value, bool):  # YAML reads a bare yes, no, on or off as true or false
        raise ValueError(f"{str(value).lower()} is neither a number nor text; put the device's word in quotes")
    if not isinstance(value, int | str):
        raise ValueError(f"{value!r} is neither a whole number nor text, which is all that a device's cell is compared with")
    return value


def _name(pattern: str, value: object, example: str) -> str:
    if isinstance(value, str) and re.fullmatch(pattern, value):
        return value
    raise ValueError(f"{value!r} is no name: {example}")


def _object_name(value: object) -> str:
    return _name(r"[A-Za-z][A-Za-z0-9]{0,63}", value, "a letter, then letters and digits, at most 64 in all, such as cpuBusy")


def _profile_name(value: object) -> str:
    return _name(r"[a-z0-9][a-z0-9-]{0,63}", value, "small letters, digits and hyphens, at most 64 in all, such as my-switch")


def _words(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("is written as number: word, such as {1: up, 2: down}")
    for key, word in value.items():
        if not isinstance(key, int) or isinstance(key, bool) or not isinstance(word, str):
            raise ValueError(f"is written as number: word, such as {{1: up, 2: down}}; not {key!r}: {word!r}")
    return value


Oid = Annotated[str, BeforeValidator(_dotted)]
Cell = Annotated[int | str, BeforeValidator(_cell)]
Quantity = Literal["cpu", "memory", "temperature", "fan", "power", "battery", "load", "radio", "sessions", "storage", "other"]


class Where(Section):
    """Which rows of a table are meant, by another of its columns."""

    column: Oid
    """The column that decides; its table has the same index."""

    any_of: tuple[Cell, ...] = ()
    """The row counts when the column has one of these values. An OID is written with dots."""

    none_of: tuple[Cell, ...] = ()
    """The row counts when the column has none of these values."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if bool(self.any_of) == bool(self.none_of):
            raise ValueError("needs any_of or none_of, and not both")
        return self


class ProfileObject(Section):
    """One object: a scalar, or a column of a table with a value in each row."""

    name: Annotated[str, BeforeValidator(_object_name)]
    """The object's name in its MIB, which becomes the name of the gauge."""

    quantity: Quantity
    """What it measures."""

    scalar: Oid | None = None
    """The instance of a scalar, with its last `.0`."""

    column: Oid | None = None
    """The column of a table, without an index."""

    label: Oid | None = None
    """The column that names the rows; it has the same index, in this table or another. Unset: rows are named by their index."""

    where: Where | None = None
    """Which rows count. Unset: all."""

    unit: str = Field(min_length=1, max_length=20)
    """Unit of the gauge, after scaling: percent, celsius, byte, rpm, watts, amperes ..."""

    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """The value is multiplied by it."""

    unavailable: tuple[float, ...] = ()
    """Values, as the device sends them, by which it says that there is none."""

    minimum: float | None = None
    """Less than this, after scaling, is not believed."""

    maximum: float | None = None
    """More than this, after scaling, is not believed."""

    states: Annotated[dict[int, str], BeforeValidator(_words)] = Field(default_factory=dict)
    """The words of an enumeration, for people."""

    @model_validator(mode="after")
    def _place(self) -> Self:
        if (self.scalar is None) == (self.column is None):
            raise ValueError("needs a scalar or a column, and not both")
        if self.column is None and (self.label is not None or self.where is not None):
            raise ValueError("a scalar has no rows: leave out label and where, or name a column")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}: nothing would be believed")
        return self

    @property
    def oid(self) -> str:
        """The scalar or the column."""
        return self.scalar or self.column or ""


class Profile(Section):
    """One file: a kind of device and its objects."""

    profile: Annotated[str, BeforeValidator(_profile_name)]
    """Name of the profile."""

    description: str = ""
    """Which devices it is for, in a sentence."""

    sys_object_id: tuple[Oid, ...] = Field(min_length=1)
    """Devices whose sysObjectID begins so. The longest beginning over all profiles wins."""

    objects: tuple[ProfileObject, ...] = Field(min_length=1, max_length=200)
    """What is read."""

    @model_validator(mode="after")
    def _unique(self) -> Self:
        places = [(each.name, each.where) for each in self.objects]
        twice = sorted({name for name, where in places if places.count((name, where)) > 1})
        if twice:
            raise ValueError(f"names of objects are unique (or differ in where); given twice: {', '.join(twice)}")
        return self
