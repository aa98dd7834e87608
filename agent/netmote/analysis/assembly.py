"""Rules and models read from their files and put together. The only place of this room that touches files, before anything runs."""

from dataclasses import dataclass

from netmote.analysis.analysis import Analysis
from netmote.analysis.config import AnalysisConfig
from netmote.models.registry import BundleStatus, load_detectors
from netmote.models.selection import Selection
from netmote.scoring.rules.rule_set import RuleSet
from netmote.windows.schemas import ALL


@dataclass(frozen=True)
class Assembled:
    """An analysis ready to run, and what became of each model bundle."""

    analysis: Analysis
    bundles: tuple[BundleStatus, ...]


def assemble(config: AnalysisConfig, *, sensor: str, selection: Selection | None = None) -> Assembled:
    """Load rules and bundles. Raises ConfigError for a bad rule; a bad bundle is refused with its reason, and the rest runs.

    `selection`: which versions were chosen; None: the newest, and none in shadow.
    """
    rules = RuleSet.configured(config.scoring)
    loaded = load_detectors(config.models, schemas=ALL, selection=selection)
    analysis = Analysis(config, sensor=sensor, rules=rules, detectors=loaded.detectors, shadows=loaded.shadows)
    return Assembled(analysis, loaded.bundles)
