"""What `netmote doctor` finds of the files: configuration, rules, profiles, secrets, model bundles."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from netmote.cli.diagnosis import Diagnosis, Verdict, fail, ok, warn
from netmote.config.section import SecretReference
from netmote.daemon.config import Config, load_config
from netmote.errors import ConfigError, Retryable
from netmote.models.registry import BundleStatus, load_detectors
from netmote.scoring.rules.rule_set import RuleSet
from netmote.snmp.profiles.loader import load_profiles
from netmote.windows.schemas import ALL

# Where the service manager takes LoadCredential=NAME from (systemd.exec(5)), and where it hands it over while the service runs.
CREDENTIAL_PLACES = (
    Path("/run/credentials/netmote.service"),
    Path("/etc/credstore"),
    Path("/run/credstore"),
)
_ENCRYPTED = (Path("/etc/credstore.encrypted"), Path("/run/credstore.encrypted"))
_READABLE_BY_ALL = 0o004


def examine_configuration(path: Path | None) -> tuple[Config | None, list[Diagnosis]]:
    """The configuration, None when it is not sound, and what is wrong with it and with the rules and profiles it names."""
    if path is None:
        return Config(), [ok("configuration", "none is given: built-in defaults")]
    try:
        config = load_config(path)
    except ConfigError as error:
        return None, _problems(error)
    found: list[Diagnosis] = []
    rules = profiles = 0
    try:
        rules = len(RuleSet.configured(config.scoring).rules)
    except ConfigError as error:
        found += _problems(error)
    try:
        profiles = len(load_profiles(config.snmp.profiles).profiles)
    except ConfigError as error:
        found += _problems(error)
    return config, found or [ok("configuration", f"{path} is sound; {rules} rules, {profiles} profiles")]


def _problems(error: ConfigError) -> list[Diagnosis]:
    return [fail("configuration", str(problem), "correct it; `netmote check` tells the same") for problem in error.problems]


def examine_models(config: Config) -> list[Diagnosis]:
    """Each bundle loaded and tested as the daemon does at its start."""
    bundles = load_detectors(config.models, schemas=ALL).bundles
    if not config.models.bundles:
        return [ok("models", "none is configured: rules only")]
    if not bundles:
        return [fail("models", "no bundle lies in the configured directories: rules only", "correct models.bundles")]
    return [_bundle(each) for each in bundles if each.state != "standby"]


def _bundle(bundle: BundleStatus) -> Diagnosis:
    subject = f"model {bundle.name}"
    if bundle.state == "active":
        return ok(subject, f"{bundle.version} passes its self-test, by {bundle.runtime}, loaded in {bundle.load_ms:.0f} ms")
    return fail(
        subject, f"{bundle.version} is refused: {bundle.why}", f"install the bundle in {bundle.path} anew, or a newer one"
    )


def use_credentials_of_the_service(places: tuple[Path, ...] = CREDENTIAL_PLACES) -> None:
    """Let `credential:` references of this process lead where those of the service lead, unless it has credentials of its own."""
    if "CREDENTIALS_DIRECTORY" in os.environ:
        return
    for place in places:
        try:
            is_filled = any(place.iterdir())
        except OSError:
            continue
        if is_filled:
            os.environ["CREDENTIALS_DIRECTORY"] = str(place)
            return


def examine_secrets(config: Config, *, encrypted: tuple[Path, ...] = _ENCRYPTED) -> list[Diagnosis]:
    """Every secret the configuration names: whether it is there, and who may read it. Never what it is."""
    found: list[Diagnosis] = []
    for reference in dict.fromkeys(_references(config)):
        kind, _, name = reference.partition(":")
        try:
            is_empty = not SecretReference(reference).reveal()
        except Retryable:
            found.append(_missing(reference, kind, name, encrypted))
            continue
        if is_empty:
            found.append(fail(f"secret {reference}", "is empty", "write the secret into it"))
        elif kind == "file" and Path(name).stat().st_mode & _READABLE_BY_ALL:
            found.append(warn(f"secret {reference}", "every user of this machine may read it", f"chmod 0640 {name}"))
        else:
            found.append(ok(f"secret {reference}", "is there"))
    return found


def _missing(reference: str, kind: str, name: str, encrypted: tuple[Path, ...]) -> Diagnosis:
    subject = f"secret {reference}"
    if kind == "credential":
        if any(_exists(place / name) for place in encrypted):
            return Diagnosis(subject, Verdict.OK, "lies encrypted in the credential store, where only the service reads it")
        if os.geteuid():
            return warn(subject, "cannot be seen by this user", "run `netmote doctor` as root")
        fix = f"put it into /etc/credstore/{name} (mode 0600) and restart the service"
        return fail(subject, "is not in the credential store", f"{fix}; other names than the unit's need LoadCredential={name}")
    if kind == "env":
        return warn(subject, "is not in the environment of this command; whether the service has it cannot be seen from here", "")
    if _exists(Path(name)):
        return fail(subject, "cannot be read by this user", f"chgrp netmote {name} && chmod 0640 {name}")
    return fail(subject, "the file does not exist", f"write the secret into {name}, mode 0640, group netmote")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _references(value: Any) -> Iterator[str]:
    """Secret references anywhere below a configuration value, in its order."""
    if isinstance(value, SecretReference):
        yield str(value)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _references(each)
