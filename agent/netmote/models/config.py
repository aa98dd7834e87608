"""Configuration of model bundles."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from netmote.config.section import Duration, Section

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

    promotion: Literal["manual", "automatic"] = "manual"
    """When a newer version takes over from the one in use: at `netmote models promote`, or by itself once its trial is passed."""

    trial: Duration = Field(default=86_400.0, ge=600.0, le=30 * 86_400.0)
    """How long a newer version is tried in shadow before it can take over by itself, in event time. It must also have judged 1,000 windows
    together with the one in use, kept the budget of alerts, and agreed with it in 99 of 100."""

    roll_back: bool = True
    """Go back to the version before when the one in use fails, is too slow, gives scores that no longer fit its calibration, or breaks the
    budget that the one before keeps."""

    latency_limit: Duration = Field(default=0.05, ge=0.001, le=10.0)
    """The 99th percentile of the time one window may take in a model; beyond it the version before takes over."""

    runtime: RuntimeChoice = "auto"
    """What runs the models: onnxruntime, or numpy with the same answers, about 30 MB less memory and five times the time a window.
    `auto` takes onnxruntime where it is installed."""
