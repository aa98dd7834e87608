"""Configuration of the whole middle: the parts of its rooms, together."""

from netmote.alerts.config import AlertsConfig
from netmote.config.section import Section
from netmote.models.config import ModelsConfig
from netmote.scoring.config import ScoringConfig
from netmote.windows.config import WindowsConfig


class AnalysisConfig(Section):
    """Windows, scoring, models and alerts: what replay and training need to do just as the daemon does."""

    windows: WindowsConfig = WindowsConfig()
    """Which hosts are ours, and when a window is good."""

    scoring: ScoringConfig = ScoringConfig()
    """Rules and the threshold of models."""

    models: ModelsConfig = ModelsConfig()
    """Which model bundles are used."""

    alerts: AlertsConfig = AlertsConfig()
    """Deduplication and limits of alerts."""
