"""A throw-away machine: Debian with systemd as PID 1 in a container of systemd-nspawn, on an overlay that is gone afterwards.

The host needs root, systemd-container and mmdebstrap, but no systemd of its own. The base of a suite is made once and kept below
`build/boxes`; each box writes into a tmpfs above it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BOXES = ROOT / "build" / "boxes"
_INCLUDE = ("systemd", "systemd-sysv", "dbus", "python3", "iproute2", "procps", "libgcc-s1", "libstdc++6", "snmpd")
# What waits, polls or logs in: the box boots faster without.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-timesyncd.service",
    "console-getty.service",
    "getty@.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "snmpd.service",
)
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "dumb", "LANG": "C.UTF-8"}
_BOOT_SECONDS = 120.0


def missing_tools() -> list[str]:
    """Programs of the host that a box needs and that are not there."""
    return [tool for tool in ("systemd-nspawn", "mmdebstrap", "nsenter") if shutil.which(tool) is None]


def _mirror() -> list[str]:
    """The mirror that this machine is set up with; none: mmdebstrap's default."""
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    found = re.search(r"^URIs:\s*(\S+)", sources.read_text(), re.MULTILINE) if sources.is_file() else None
    return [found[1]] if found else []


def base(suite: str) -> Path:
    """The root of a minimal Debian of this suite, made when it is not there yet."""
    name = f"{suite}-{hashlib.sha256(repr((_INCLUDE, _MASKED)).encode()).hexdigest()[:8]}"
    root = _BOXES / name
    done = _BOXES / f"{name}.done"
    if done.exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    root.chmod(0o755)
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(_INCLUDE)}",
            '--aptopt=Apt::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            suite,
            str(root),
            *_mirror(),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    for unit in _MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    default = root / "etc/systemd/system/default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "etc/hostname").write_text("box\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost box\n")
    done.touch()
    return root


class Box:
    """A booted machine. `root` is its file system as the host sees it; it has no network but loopback and what is put into it."""

    def __init__(self, name: str, directory: Path, leader: int) -> None:
        self.name, self.root, self.leader = name, directory / "root", leader

    def run(self, *command: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        # --wdns: the working directory is the box's, not the host's.
        line = ["nsenter", "-t", str(self.leader), "-a", "--wdns=/", "--", "env", "-i"]
        line += [*(f"{key}={value}" for key, value in _ENVIRONMENT.items()), *command]
        done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "-P", key, unit).stdout.strip()

    def journal(self, *match: str) -> str:
        """Journal entries since the boot, a JSON object a line."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-b", "-o", "json", "--no-pager", *match).stdout

    def is_free(self) -> bool:
        """Whether nothing is being started or stopped."""
        return not self.run("systemctl", "list-jobs", "--no-legend", check=False).stdout.strip()


def _leader_of(supervisor: subprocess.Popen[bytes], log: Path) -> int:
    """The box's PID 1: nspawn forks once before it."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline:
        if supervisor.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended: {log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        time.sleep(0.05)
    raise AssertionError("systemd did not begin in the box")


def _cgroups(name: str) -> list[Path]:
    """A group of the box's own in each hierarchy that nspawn touches, so that it makes none in the machine's root."""
    top = Path("/sys/fs/cgroup")
    hierarchies = [top / part for part in ("unified", "systemd") if (top / part).is_dir()]
    return [each / name for each in (hierarchies or [top])]


@contextlib.contextmanager
def booted(suite: str) -> Iterator[Box]:
    """A box of this suite, booted; powered off and removed afterwards."""
    name = f"nmbox{os.getpid()}"
    lower, directory = base(suite), _BOXES / name
    directory.mkdir(parents=True)
    space, root, log = directory / "space", directory / "root", directory / "console"
    groups = _cgroups(name)
    supervisor: subprocess.Popen[bytes] | None = None
    leader = 0
    try:
        for path in (space, root, *groups):
            path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", name, str(space)], check=True)
        for part in ("upper", "work"):
            (space / part).mkdir()
            # Whatever the umask: the upper directory is the root of the box, and its users must get through.
            (space / part).chmod(0o755)
        layers = f"lowerdir={lower},upperdir={space}/upper,workdir={space}/work"
        subprocess.run(["mount", "-t", "overlay", name, "-o", layers, str(root)], check=True)
        join = "; ".join(f"echo $$ >'{group}/cgroup.procs'" for group in groups)
        nspawn = [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={root}",
            f"--machine={name}",
            "--register=no",
            "--keep-unit",
            "--private-network",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--console=read-only",  # a pipe would leave PID 1 without a console
            "--kill-signal=SIGRTMIN+3",
            "--system-call-filter=bpf",  # IPAddressDeny= is silently not enforced without
            "--capability=CAP_BPF,CAP_PERFMON",
            "systemd.log_target=journal-or-kmsg",
            "systemd.show_status=false",
        ]
        with log.open("wb") as stream:
            supervisor = subprocess.Popen(
                ["sh", "-c", f'{join}; exec "$@"', "sh", *nspawn],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_LOCK": "0"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        leader = _leader_of(supervisor, log)
        box = Box(name, directory, leader)
        _wait_until_running(box)
        yield box
    finally:
        _remove(name, directory, supervisor, leader, groups)


def _wait_until_running(box: Box) -> None:
    # Asked again and again: `--wait` from before PID 1 has opened its socket can wait for ever.
    deadline = time.monotonic() + _BOOT_SECONDS
    state = ""
    while time.monotonic() < deadline and state not in ("running", "degraded"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            state = box.run("systemctl", "is-system-running", check=False, timeout=5.0).stdout.strip()
        time.sleep(0.05)
    if state != "running":
        asked = (("systemctl", "list-jobs", "--no-legend"), ("systemctl", "--failed", "--no-legend"), ("journalctl", "-n", "40"))
        said = "\n".join(box.run(*line, "--no-pager", check=False).stdout for line in asked)
        raise AssertionError(f"the box is {state or 'silent'} after {_BOOT_SECONDS:.0f} s: {said}")


def _remove(name: str, directory: Path, supervisor: subprocess.Popen[bytes] | None, leader: int, groups: list[Path]) -> None:
    if leader:
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGRTMIN + 4)  # poweroff.target
    if supervisor is not None:
        try:
            supervisor.wait(15 if leader else 1)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait(10)
    for part in ("root", "space"):
        subprocess.run(["umount", "--lazy", str(directory / part)], check=False, capture_output=True)
    for group in groups:
        for path in sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        Path(f"/run/systemd/nspawn/propagate/{name}").rmdir()
