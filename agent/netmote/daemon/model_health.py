"""What the model bundles mean for the degradation ladder: none in use is the level `rules`, some refused is a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from netmote.models.registry import BundleStatus
from netmote.telemetry.health import Health, Level

COMPONENT = "models"


def judge_models(health: Health, bundles: Sequence[BundleStatus], failures: Mapping[str, str]) -> bool:
    """Set or withdraw the reason. `failures`: detectors that were taken out of use while running. Returns whether that is news."""
    refused = [
        f"{bundle.name} {bundle.version}: {bundle.reason} {bundle.detail}".rstrip()
        for bundle in bundles
        if bundle.state == "refused"
    ]
    refused += [f"{name} is out of use: {reason}" for name, reason in sorted(failures.items())]
    in_use = [bundle for bundle in bundles if bundle.state == "active" and bundle.name not in failures]
    if not in_use:
        return health.degrade(COMPONENT, Level.RULES, "; ".join(("no usable model", *refused)))
    if refused:
        return health.degrade(COMPONENT, Level.FULL, "; ".join(refused))
    return health.recover(COMPONENT)


def are_same_bundles(one: Sequence[BundleStatus], other: Sequence[BundleStatus]) -> bool:
    """Whether the same bundles were found in the same state, however long each took to load."""
    return [replace(bundle, load_ms=0.0) for bundle in one] == [replace(bundle, load_ms=0.0) for bundle in other]
