"""Configuration of scoring."""

from typing import Literal

from pydantic import Field

from netmote.config.section import Section
from netmote.scoring.known_assets import KnownAsset


class ScoringConfig(Section):
    """Rules and the threshold of models."""

    rules: tuple[str, ...] = ("builtin",)
    """Rule files or directories; `builtin` stands for the shipped rules."""

    disabled_rules: tuple[str, ...] = ()
    """Ids of rules that are not evaluated."""

    known_assets: tuple[KnownAsset, ...] = ()
    """Hosts whose work would set rules off: scanners, network management, backup, resolvers."""

    alerts_per_day: float = Field(default=1.0, gt=0.0, le=1000.0)
    """False alerts per day that the models may raise on this sensor; shared among its entities."""

    fusion: Literal["min-p", "weighted"] = "min-p"
    """How the detectors' p-values become one: twice the smallest, or 0.4 rules + 0.6 models."""
