"""What a new configuration changes. Pure: two documents in, the names of the parts to be begun anew out."""

from netmote.daemon.config import Config
from netmote.errors import ConfigError, NetmoteError, Problem

# Which parts of the daemon stand on which sections of the document.
PARTS: dict[str, tuple[str, ...]] = {
    "capture": ("capture", "metering"),
    "snmp": ("snmp",),
    "host": ("host",),
    "analysis": ("windows", "scoring", "models", "alerts"),
    "sinks": ("sinks",),
    "flow_export": ("flow_export",),
    "heartbeat": ("heartbeat",),
    "web": ("web",),
    "log": ("log",),
}
# Taken up only at the next start: the ledger's identity and place hang on them, or what is stored must be of one kind.
AT_START_ONLY = ("sensor", "state_dir", "store", "privacy")
# Of those, what may not wait while the rest is taken up: a sink that begins now would be sent what the new document hides from it.
NOT_IN_PARTS = ("privacy",)


class ReloadRefused(NetmoteError):
    """The new configuration is not in force; the message says why, and what goes on."""


def changed_parts(old: Config, new: Config) -> tuple[str, ...]:
    """Parts whose sections differ, in the order in which they are begun anew."""
    return tuple(part for part, sections in PARTS.items() if any(getattr(old, s) != getattr(new, s) for s in sections))


def refuse_parts(old: Config, new: Config) -> None:
    """Raises ConfigError for a document that can only be taken up as a whole, at a start."""
    problems = [
        Problem("configuration", None, section, "is taken up at a start only, and nothing beside it before: restart the daemon")
        for section in NOT_IN_PARTS
        if getattr(old, section) != getattr(new, section)
    ]
    if problems:
        raise ConfigError(problems)


def needs_start(old: Config, new: Config) -> tuple[str, ...]:
    """Sections that differ and wait for the next start."""
    return tuple(section for section in AT_START_ONLY if getattr(old, section) != getattr(new, section))


def without_start_only(old: Config, new: Config) -> Config:
    """The new document as far as it can be taken up now."""
    return new.model_copy(update={section: getattr(old, section) for section in AT_START_ONLY})
