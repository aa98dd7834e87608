"""Configuration of model bundles."""

from pathlib import Path
from typing import Literal

from netmote.config.section import Section

RuntimeChoice = Literal["auto", "onnxruntime", "numpy"]


class ModelsConfig(Section):
    """Which model bundles are used."""

    bundles: tuple[str, ...] = ("builtin",)
    """Directories of bundles (`<name>/<version>/`); `builtin` stands for the shipped ones. Empty: rules only."""

    trusted_keys: tuple[Path, ...] = ()
    """Public keys whose signature under a bundle counts: PEM files of Ed25519, or directories of `*.pub` files. The bundles of `builtin`
    need none: they are part of the package, and as trusted as its code."""

    allow_unsigned: bool = False
    """Use bundles without a signature. A wrong signature, or one of an unknown key, is refused all the same."""

    runtime: RuntimeChoice = "auto"
    """What runs the models: onnxruntime, or numpy with the same answers, about 30 MB less memory and five times the time a window.
    `auto` takes onnxruntime where it is installed."""
