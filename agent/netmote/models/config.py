"""Configuration of model bundles."""

from typing import Literal

from netmote.config.section import Section

RuntimeChoice = Literal["auto", "onnxruntime", "numpy"]


class ModelsConfig(Section):
    """Which model bundles are used."""

    bundles: tuple[str, ...] = ("builtin",)
    """Directories of bundles (`<name>/<version>/`); `builtin` stands for the shipped ones. Empty: rules only."""

    runtime: RuntimeChoice = "auto"
    """What runs the models: onnxruntime, or numpy with the same answers, about 30 MB less memory and five times the time a window.
    `auto` takes onnxruntime where it is installed."""
