"""Configuration of model bundles."""

from netmote.config.section import Section


class ModelsConfig(Section):
    """Which model bundles are used."""

    bundles: tuple[str, ...] = ("builtin",)
    """Directories of bundles (`<name>/<version>/`); `builtin` stands for the shipped ones. Empty: rules only."""
