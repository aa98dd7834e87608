"""Says of the daemon, every minute and to each sink, what a heartbeat says: the values of `telemetry.heartbeat` from its parts.

Only gathers and hands over. Each sink's delivery task sends its beat when it has the sink for itself (`sink.beat` and `deliver` are
never under way together), and drops it for the next one: a beat that waited would tell an old state.
"""

import asyncio
import hashlib
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from netmote import __version__
from netmote.config.section import Section
from netmote.daemon.config import Config
from netmote.daemon.kernel_clock import read_kernel_clock
from netmote.errors import NetmoteError
from netmote.models.manifest import content_hash
from netmote.models.registry import BundleStatus
from netmote.scoring.rules.rule_set import RuleSet
from netmote.telemetry.heartbeat import Heartbeat, LoadedModel, SinkBooks

if TYPE_CHECKING:
    from netmote.daemon.lifecycle import Daemon

log = logging.getLogger(__name__)

# How soon a changed interval is noticed.
_LOOK_SECONDS = 1.0


class Heartbeats:
    """The beats of one daemon, to all of its sinks."""

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._number = 0
        self._is_told = False
        self._hashed: tuple[Config, RuleSet] | None = None  # what the two hashes are of
        self._config_hash = self._rules_hash = ""

    async def run(self) -> None:
        """Beat until cancelled; the first one at once, so that a start is seen upstream."""
        clock = self._daemon.clock
        beaten_at = clock.monotonic() - self._daemon.config.heartbeat.interval
        while True:
            due_in = beaten_at + self._daemon.config.heartbeat.interval - clock.monotonic()
            if due_in > 0:
                await asyncio.sleep(min(due_in, _LOOK_SECONDS))
                continue
            beaten_at = clock.monotonic()
            await self.beat()

    async def beat(self) -> None:
        """One beat to each sink that wants them."""
        daemon = self._daemon
        self._number += 1
        await self._hash()
        state = self._state()
        for deliver in daemon.delivers:
            name = deliver.sink.name
            if name in daemon.config.heartbeat.left_out_sinks:
                continue
            try:
                books = await daemon.store.books(name)
            except (NetmoteError, KeyError) as error:
                # A sink that was just removed, or a ledger that cannot be read: no books, no beat, and that is seen upstream.
                daemon.metrics.heartbeats_total.inc(sink=name, outcome="no_books")
                if not self._is_told:
                    log.warning("no heartbeat: %s", error, extra={"component": deliver.component})
                self._is_told = True
                continue
            self._is_told = False
            deliver.offer_beat(replace(state, books=books, last_seq=books.last_seq))

    async def _hash(self) -> None:
        """Hashes of what is in force, in a thread and only when it changed: thousands of devices take their time."""
        config, rules = self._daemon.config, self._daemon.analyse.analysis.rules
        if self._hashed is not None and self._hashed[0] is config and self._hashed[1] is rules:
            return
        self._config_hash = await asyncio.to_thread(section_hash, config)
        self._rules_hash = await asyncio.to_thread(lambda: rules.hash)
        self._hashed = config, rules

    def _state(self) -> Heartbeat:
        """The daemon at this moment, without the books of any sink."""
        daemon, clock = self._daemon, read_kernel_clock()
        return Heartbeat(
            sensor=daemon.sensor,
            ledger_epoch=daemon.store.ledger_epoch,
            number=self._number,
            interval_seconds=daemon.config.heartbeat.interval,
            at_ns=daemon.clock.now_ns(),
            started_at_ns=daemon.started_at_ns,
            version=__version__,
            level=daemon.health.level,
            reasons=daemon.health.reasons,
            config_hash=self._config_hash,
            rules_hash=self._rules_hash,
            models=tuple(loaded_models(daemon.bundles)),
            last_seq=0,
            books=SinkBooks(0, 0),
            clock_offset_seconds=clock.offset_seconds,
            is_clock_synchronised=clock.is_synchronised,
            drops={place.replace("/", ":", 1): count for place, count in daemon.survey.drops().items()},
        )


def section_hash(section: Section) -> str:
    """SHA-256 over the checked values of a configuration: comments, order and defaults written out do not change it.

    Secrets are references in it, so their values are neither in the hash nor guessable from it.
    """
    body = json.dumps(section.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def loaded_models(bundles: tuple[BundleStatus, ...]) -> list[LoadedModel]:
    """The bundles in use."""
    return [
        LoadedModel(bundle.name, bundle.version, content_hash(bundle.manifest))
        for bundle in bundles
        if bundle.state == "active" and bundle.manifest is not None
    ]
