"""`netmote forget`: an address out of everything this sensor keeps, daemon running or not, and a plain account of what is left.

    analysis stopped ─► learned state ─► checkpoint ─► ledger, telemetry ─► evidence ─► analysis begins from what is stored

Analysis must not run meanwhile: it would write back what it holds in memory. Its windows are rebuilt from the telemetry, which has
forgotten by then, and so are its contacts and peers. Whoever is still on the network is recorded anew.
"""

import asyncio
import re
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netmote.analysis.analysis import Analysis
from netmote.analysis.assembly import assemble
from netmote.analysis.forgetting import state_without
from netmote.clock import Clock
from netmote.daemon.config import Config
from netmote.daemon.evidence_files import evidence_dir
from netmote.daemon.learned import LearnedFile
from netmote.daemon.privacy import Privacy
from netmote.errors import NetmoteError
from netmote.models.selection import FILE_NAME, Selection, SelectionUnreadable, read_selection
from netmote.privacy.forgetting import Forgetting
from netmote.records.entity import Entity, EntityKind
from netmote.store.forgetting import ForgottenAlerts, ForgottenTelemetry
from netmote.store.position import Checkpoint
from netmote.store.store import Store

if TYPE_CHECKING:
    from netmote.daemon.lifecycle import Daemon

_SCANNED_BYTES = 256 * 2**20  # of a file that is none of the store's


class ForgetRefused(NetmoteError):
    """Nothing was touched."""


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was removed, and what could not be."""

    addresses: tuple[str, ...]  # the one that was named, and its pseudonym at rest
    alerts: ForgottenAlerts
    telemetry: ForgottenTelemetry
    is_learned_removed: bool
    is_checkpoint_changed: bool
    evidence_files: int
    left: tuple[str, ...]  # sentences

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def forgetting_of(address: str, privacy: Privacy) -> Forgetting:
    """What to forget for an address as an operator names it. Raises ForgetRefused."""
    try:
        named = ip_address(address.strip())
        treatment = privacy.at_rest()
        at_rest = treatment.address(named)
        if treatment.kind == "truncate":
            raise ForgetRefused(f"at rest only the network {at_rest} is kept: no single host of it can be told from the others")
        return Forgetting([named] if at_rest == named else [named, at_rest])
    except ValueError as error:
        raise ForgetRefused(str(error)) from error


async def forget_in_state(
    forgetting: Forgetting, *, config: Config, state_dir: Path, store: Store, analysis: Analysis, learned: LearnedFile
) -> ForgetReport:
    """Forget where nothing writes but this. `analysis` is at rest and holds what was learned."""
    is_learned_removed = await asyncio.to_thread(_forget_learned, analysis, learned, forgetting)
    is_checkpoint_changed = await _forget_in_checkpoint(store, forgetting)
    alerts, telemetry = await store.forget(forgetting)
    evidence = await asyncio.to_thread(_remove_evidence, state_dir, forgetting)
    left = await asyncio.to_thread(_left, config, state_dir, forgetting, alerts, telemetry)
    return ForgetReport(
        addresses=forgetting.words,
        alerts=alerts,
        telemetry=telemetry,
        is_learned_removed=is_learned_removed,
        is_checkpoint_changed=is_checkpoint_changed,
        evidence_files=evidence,
        left=tuple(left),
    )


async def forget_running(daemon: "Daemon", address: str) -> ForgetReport:
    """Forget while the daemon runs: analysis pauses, everything else goes on."""
    forgetting = forgetting_of(address, daemon.privacy)
    await daemon.ingest.drain()

    async def forget(analysis: Analysis) -> ForgetReport:
        return await forget_in_state(
            forgetting,
            config=daemon.config,
            state_dir=daemon.state_dir,
            store=daemon.store,
            analysis=analysis,
            learned=learned_file(daemon.state_dir, daemon.config),
        )

    return await daemon.with_analysis_paused(forget)


async def forget_without_daemon(config: Config, state_dir: Path, address: str, *, clock: Clock) -> ForgetReport:
    """The same where no daemon runs: the store's lock keeps one from starting in between."""
    store = Store(state_dir, config.store, sensor=config.sensor_name, clock=clock)
    await store.open()
    try:
        privacy = Privacy(config, state_dir)
        await asyncio.to_thread(privacy.open)
        learned = learned_file(state_dir, config)
        selection = await asyncio.to_thread(_selection, state_dir)
        assembled = await asyncio.to_thread(assemble, config, sensor=config.sensor_name, selection=selection)
        await asyncio.to_thread(learned.load_into, assembled.analysis)
        return await forget_in_state(
            forgetting_of(address, privacy),
            config=config,
            state_dir=state_dir,
            store=store,
            analysis=assembled.analysis,
            learned=learned,
        )
    finally:
        await store.close()


def learned_file(state_dir: Path, config: Config) -> LearnedFile:
    """Where what was learned lies."""
    return LearnedFile(state_dir / "learned.bin", free_space_floor=config.store.free_space_floor)


def _selection(state_dir: Path) -> Selection:
    """The models the daemon would run: what others had learned would be lost with the file."""
    try:
        return read_selection(state_dir / FILE_NAME)
    except SelectionUnreadable as error:
        raise ForgetRefused(f"{error}; start the daemon once, it puts the file aside") from error


def _forget_learned(analysis: Analysis, learned: LearnedFile, forgetting: Forgetting) -> bool:
    known = [analysis.scoring.forget(Entity(EntityKind.HOST, word)) for word in forgetting.words]
    if not any(known):
        return False
    learned.save(analysis.learned())
    return True


async def _forget_in_checkpoint(store: Store, forgetting: Forgetting) -> bool:
    checkpoint = await store.checkpoint()
    if checkpoint is None:
        return False
    try:
        state = state_without(checkpoint.state, frozenset(forgetting.words), forgetting.document)
    except ValueError:
        state = b""  # of another version, and perhaps with the address in it: analysis begins cold rather than knowing it
    if state == checkpoint.state:
        return False
    await store.commit((), Checkpoint(checkpoint.position, checkpoint.event_time_ns, state))
    return True


def _remove_evidence(state_dir: Path, forgetting: Forgetting) -> int:
    """Whole files: packets of a conversation are of two."""
    directory, removed = evidence_dir(state_dir), 0
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if any(octets in path.read_bytes() for octets in forgetting.octets):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _left(
    config: Config, state_dir: Path, forgetting: Forgetting, alerts: ForgottenAlerts, telemetry: ForgottenTelemetry
) -> list[str]:
    left = [
        f"sink {sink}: its receiver has {count} alert revisions with the address; only its operator can remove them"
        for sink, count in alerts.delivered.items()
        if count
    ]
    left += [f"flow exporter {export.name}: flows that left before this are with its collector" for export in config.flow_export]
    left += [
        f"polled device {target.name} has this address in the configuration, and is polled on"
        for target in config.snmp.targets
        if forgetting.text(target.address) != target.address
    ]
    if config.capture.tee_dir is not None:
        left.append(f"packets in {config.capture.tee_dir} (capture.tee_dir) are not touched")
    if alerts.damaged or telemetry.damaged:
        left.append(f"{alerts.damaged} alert revisions and {telemetry.damaged} batches are damaged and cannot be rewritten")
    left += [f"{name} still holds the address" for name in _still_holding(state_dir, forgetting)]
    left += [f"{path.name} was set aside as damaged: remove it" for path in sorted(state_dir.glob("*.corrupt-*"))]
    return left


def _still_holding(state_dir: Path, forgetting: Forgetting) -> list[str]:
    """Files of the state directory in which the address stands in so many letters: what was overlooked would be seen here."""
    words = [re.compile(rb"(?<![\w.:])" + re.escape(word.encode()) + rb"(?![\w:])(?!\.\d)") for word in forgetting.words]
    found = []
    for path in sorted(state_dir.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _SCANNED_BYTES and ".corrupt-" not in path.name:
            content = path.read_bytes()
            if any(word.search(content) for word in words):
                found.append(str(path.relative_to(state_dir)))
    return found
