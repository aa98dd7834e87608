"""What `netmote doctor` finds of this machine: permission to capture, rings, clock, disk, state directory, receive buffers.

Reads, and opens a packet ring for a moment; changes nothing. Paths of the kernel come in as arguments, so that tests give others.
"""

import os
import pwd
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from netmote.capture.config import CaptureConfig
from netmote.capture.interfaces import select_interfaces
from netmote.capture.ring import Ring, packet_socket
from netmote.cli.diagnosis import Diagnosis, fail, ok, warn
from netmote.cli.format import size
from netmote.daemon.captures import MAX_AUTOMATIC
from netmote.daemon.kernel_clock import KernelClock
from netmote.errors import Unavailable
from netmote.snmp.native.transport import RECEIVE_BUFFER_BYTES
from netmote.store.config import StoreConfig

_PROC = Path("/proc")
_SERVICE_USER, _SERVICE_STATE = "netmote", Path("/var/lib/netmote")
# This file would not exist before; a clock that stands earlier never was set.
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
_FAR_OFF_SECONDS = 1.0
_FILES_LOOKED_AT = 2_000


def examine_capture(capture: CaptureConfig, chosen: Sequence[str] | None = None) -> list[Diagnosis]:
    """Whether this user may capture, and a ring of the configured size on each interface, open for a moment and not promiscuous."""
    if not capture.interfaces:
        return [ok("capture", "is turned off: capture.interfaces is empty")]
    grant = "install the package or run as root; for a program of one's own: setcap cap_net_raw+ep, or AmbientCapabilities=CAP_NET_RAW"
    try:
        packet_socket("capture").close()
    except Unavailable:
        return [fail("capture", "this user may not capture packets: CAP_NET_RAW is missing", grant)]
    except OSError as error:
        return [fail("capture", f"this system lets nobody capture packets: {error.strerror}", "use a kernel with CONFIG_PACKET")]
    names = select_interfaces(capture.interfaces) if chosen is None else tuple(chosen)
    found = [_ring(name, capture) for name in names[:MAX_AUTOMATIC]]
    return found or [
        fail("capture", "no interface is up that could be captured", "ip link set NAME up, or name it in capture.interfaces")
    ]


def _ring(interface: str, capture: CaptureConfig) -> Diagnosis:
    subject = f"capture {interface}"
    try:
        ring = Ring(interface, ring_size=capture.ring_size, promiscuous=False, version=capture.ring)
    except Unavailable as error:
        return fail(subject, str(error), "ip link shows the interfaces; correct capture.interfaces, or leave it to auto")
    try:
        said = f"a ring of {size(ring.ring_bytes)} (TPACKET_{ring.version.upper()}) can be opened"
    finally:
        ring.close()
    return ok(subject, said)


def examine_clock(now_ns: int, clock: KernelClock) -> Diagnosis:
    """Whether the time is set, and whether something keeps it. Without a kept clock, times of two sensors cannot be compared."""
    now = datetime.fromtimestamp(now_ns / 1e9, UTC)
    keep = "timedatectl set-ntp true (systemd-timesyncd), or install chrony"
    if now < _EARLIEST:
        return fail("clock", f"was never set: it says {now:%Y-%m-%d}", keep)
    if clock.is_synchronised is None:
        return warn("clock", "whether anything keeps it cannot be told here", "timedatectl shows it")
    if not clock.is_synchronised:
        return warn("clock", "nothing keeps it: it drifts, and times of alerts drift with it", keep)
    offset = clock.offset_seconds or 0.0
    if abs(offset) > _FAR_OFF_SECONDS:
        return warn("clock", f"is {offset:+.1f} s off and being corrected", "chronyc makestep, or wait")
    return ok("clock", f"is kept, {abs(offset) * 1e3:.1f} ms off by the kernel's estimate")


def examine_state_dir(
    state_dir: Path, *, service_user: str = _SERVICE_USER, service_state: Path = _SERVICE_STATE
) -> list[Diagnosis]:
    """Owner and mode of the state directory, and whether all in it is the owner's."""
    subject = f"state {state_dir}"
    try:
        status = state_dir.stat()
    except FileNotFoundError:
        return [_to_be_made(subject, state_dir)]
    except OSError as error:
        return [fail(subject, f"cannot be seen: {error.strerror}", "run `netmote doctor` as root or as the service's user")]
    if not stat.S_ISDIR(status.st_mode):
        return [fail(subject, "is no directory", "give another --state-dir")]
    found: list[Diagnosis] = []
    owner = _user_name(status.st_uid)
    if state_dir == service_state and owner != service_user and _has_user(service_user):
        found.append(
            fail(subject, f"belongs to {owner}, the service runs as {service_user}", f"chown -R {service_user}: {state_dir}")
        )
    if status.st_mode & 0o007:
        found.append(warn(subject, "other users may look into it: it names hosts and their habits", f"chmod o-rwx {state_dir}"))
    try:
        strangers = [each.name for each in islice(state_dir.rglob("*"), _FILES_LOOKED_AT) if each.lstat().st_uid != status.st_uid]
    except OSError as error:
        return [
            *found,
            fail(subject, f"cannot be read: {error.strerror}", "run `netmote doctor` as root or as the service's user"),
        ]
    if strangers:
        text = f"{len(strangers)} files in it belong to somebody else than {owner} ({', '.join(sorted(strangers)[:3])})"
        found.append(fail(subject, text, f"chown -R {owner}: {state_dir}; a daemon once ran there as another user"))
    return found or [ok(subject, f"belongs to {owner} with all in it")]


def _to_be_made(subject: str, state_dir: Path) -> Diagnosis:
    parent = next(each for each in (state_dir.absolute(), *state_dir.absolute().parents) if each.exists())
    if os.access(parent, os.W_OK):
        return ok(subject, "does not exist yet; the daemon makes it")
    return fail(
        subject, f"does not exist, and this user may not make it in {parent}", f"mkdir -m 0700 {state_dir}, for the daemon's user"
    )


def examine_disk(state_dir: Path, store: StoreConfig) -> Diagnosis:
    """Free space where the state lies, against the floor below which telemetry is no longer stored, and against the quotas."""
    place = next(each for each in (state_dir.absolute(), *state_dir.absolute().parents) if each.exists())
    status = os.statvfs(place)
    free, room = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    if status.f_flag & os.ST_RDONLY:
        return fail("disk", f"the filesystem of {place} is mounted read-only", "dmesg says why; mount it read-write")
    if status.f_files and not status.f_favail:
        return fail("disk", f"the filesystem of {place} has no inodes left", "remove files nobody needs")
    if free < store.free_space_floor:
        text = f"{size(free)} free, less than the floor of {size(store.free_space_floor)}: only alerts are stored"
        return fail("disk", text, "free some space, or lower store.telemetry_size or store.free_space_floor")
    wanted = store.telemetry_size + store.ledger_size + store.free_space_floor
    if room < wanted:
        text = f"the filesystem has {size(room)}, the quotas and the floor want {size(wanted)}: the disk ends before they do"
        return warn("disk", text, "lower store.telemetry_size, or move the state directory")
    return ok("disk", f"{size(free)} free of {size(room)}; telemetry may take {size(store.telemetry_size)}")


def examine_receive_buffers(*, receives: bool, proc: Path = _PROC) -> list[Diagnosis]:
    """The kernel's limit on UDP receive buffers, and whether datagrams were lost by it since the boot (RFC 4113 udpInErrors' cause)."""
    found: list[Diagnosis] = []
    if receives:
        found.append(_limit(proc / "sys/net/core/rmem_max"))
    lost = _counter(proc / "net/snmp", "Udp:", "RcvbufErrors") + _six(proc / "net/snmp6", "Udp6RcvbufErrors")
    if lost:
        text = f"{lost:,} datagrams were lost since the boot because a program's receive buffer was full (RcvbufErrors)"
        found.append(warn("udp", text, "`ss -uamp` tells whose (d in skmem); `netmote status` counts netmote's own under snmp"))
    else:
        found.append(ok("udp", "no datagram was lost to a full receive buffer since the boot"))
    return found


def _limit(path: Path) -> Diagnosis:
    try:
        limit = int(path.read_text())
    except (OSError, ValueError):  # a container may hide it
        return warn("net.core.rmem_max", "cannot be read here", "on the host: sysctl net.core.rmem_max")
    if limit >= RECEIVE_BUFFER_BYTES:
        return ok("net.core.rmem_max", f"{size(limit)} is enough")
    text = f"{size(limit)} is less than the {size(RECEIVE_BUFFER_BYTES)} asked for: bursts of answers and traps may be lost"
    fix = f"echo net.core.rmem_max={RECEIVE_BUFFER_BYTES} > /etc/sysctl.d/60-netmote.conf && sysctl --system"
    return warn("net.core.rmem_max", text, fix)


def _counter(path: Path, table: str, name: str) -> int:
    """Of /proc/net/snmp: two lines a table, names and numbers (proc_pid_net(5)). 0 where there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines() if line.startswith(table)]
    except OSError:
        return 0
    if len(lines) != 2 or name not in lines[0]:
        return 0
    return int(lines[1][lines[0].index(name)])


def _six(path: Path, name: str) -> int:
    try:
        pairs = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(pairs.get(name, 0))


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
