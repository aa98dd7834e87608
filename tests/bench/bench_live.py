"""Live capture over a veth pair: loss, CPU per packet of who captures, and its ratio to named peers on the same wire.

Run as root: python tests/bench/bench_live.py [--seconds S] [--runs N] [--peers DIRECTORY]. Two network namespaces; the generator has
the first processor and the kernel's receive path with it, who captures has the last. Readers alternate; the least CPU per packet
received counts, because others on the machine only ever add, and every loss counts. CPU is what the scheduler gave the process and its
children while packets came (schedstat).

sendmmsg(2) over the pair is the generator's cost more than anyone's, so at full rate frames are put into the receive path of the right
end, as a driver would (packet_generator_xdp.c). What that reaches with nobody capturing is printed, and what goes through the pair.
netmote's packets sent must be packets received and dropped, exactly: else this ends with an error. A goal missed is no error.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peers
from generated_capture import write_capture
from live_readers import Argus, Netmote, Nfpcapd, NFStream, Reader, Scapy, SlowSoftflowd, SmallNetmote, Softflowd
from report import Row, machine, print_table, say
from wire import Sender, Wire, cpu_ns

_FLOWS = 150_000
_GOAL = 1_800_000  # packets a second


@dataclass(frozen=True, slots=True)
class _Run:
    sent: int
    elapsed: float
    received: int
    dropped: int
    spent_ns: int

    @property
    def ns(self) -> float:
        return self.spent_ns / max(1, self.received)

    @property
    def per_second(self) -> float:
        return self.sent / self.elapsed

    @property
    def lost(self) -> float:
        """Share of the packets sent."""
        return 1 - self.received / self.sent


def _measure(start: Callable[[], Reader], send: Callable[[], tuple[int, float]]) -> _Run:
    reader = start()
    try:
        before = cpu_ns(reader.process.pid)
        sent, elapsed = send()
        time.sleep(1.2)  # libpcap hands over its last block after a second
        spent = cpu_ns(reader.process.pid) - before
        told = reader.finish()
    finally:
        reader.kill()
    received = sent - told["dropped"] if reader.lags else told["received"]
    return _Run(sent, elapsed, received, told["dropped"], spent)


def _readers(directory: str | None) -> list[type[Reader]]:
    found: list[type[Reader]] = [Netmote, SmallNetmote, Scapy]
    for tool, readers in (("softflowd", (Softflowd, SlowSoftflowd)), ("nfpcapd", (Nfpcapd,)), ("argus", (Argus,))):
        if shutil.which(tool):
            found += readers
        else:
            say(f"{tool} is left out: it is not installed")
    NFStream.python = peers.nfstream_python(directory)
    return [*found, NFStream] if NFStream.python else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", default=os.environ.get("BENCH_PEERS"), help="directory of an environment for NFStream")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    if os.geteuid() or not shutil.which("gcc") or not shutil.which("ip"):
        print("not measured: needs root (network namespaces, AF_PACKET), gcc and ip")
        return
    if len(processors) < 2:
        print("not measured: needs two processors, one sends and one captures")
        return
    print(machine(), flush=True)
    os.nice(-20)  # of the generator and of every reader alike: what others do should not decide who loses packets
    with tempfile.TemporaryDirectory() as name, Wire() as wire:
        folder = Path(name)
        for source in ("packet_generator.c", "packet_generator_xdp.c"):
            peers.build(source, folder)
        write_capture(folder / "packets.pcap", packets=1_000_000, flows=_FLOWS, seconds=20.0)
        sender = Sender(wire, folder, folder / "packets.pcap", processors[0])
        how, alone = _ceilings(sender, options)
        runs = _all_runs(wire, sender, how, processors[-1], options)
        if how == "receive":
            subprocess.run([*wire.inside(wire.right), "ethtool", "-K", wire.right, "gro", "on"], check=False, capture_output=True)
            with tempfile.TemporaryDirectory() as place:
                paired = _measure(
                    lambda: Netmote(wire, processors[-1], Path(place)), lambda: sender.send("transmit", 0, options.seconds)
                )
            alone.append(
                Row("through the pair with netmote capturing, packets a second", paired.per_second, beside=_loss([paired]))
            )
    print_table([*alone, *_table(runs)])


def _ceilings(sender: Sender, options: argparse.Namespace) -> tuple[str, list[Row]]:
    """What each generator reaches with nobody capturing, and which one is used."""
    rows, how = [], "sendmmsg"
    for name, text in (("sendmmsg", "sendmmsg over the pair"), ("receive", "XDP frames received on the right end")):
        try:
            rates = [sent / elapsed for sent, elapsed in (sender.send(name, 0, options.seconds) for _ in range(options.runs))]
        except subprocess.CalledProcessError as error:
            say(f"{text}: this kernel does not: {error.stderr.strip().splitlines()[-1:]}")
            continue
        rows.append(Row(f"nobody captures, {text}, packets a second", max(rates)))
        how = name
    return how, rows


def _all_runs(
    wire: Wire, sender: Sender, how: str, processor: int, options: argparse.Namespace
) -> dict[type[Reader], list[_Run]]:
    runs: dict[type[Reader], list[_Run]] = {}
    for turn in range(options.runs):
        for reader in _readers(options.peers):
            with tempfile.TemporaryDirectory() as place:
                found = _measure(
                    lambda reader=reader, place=place: reader(wire, processor, Path(place)),
                    lambda reader=reader: sender.send(how, reader.rate, options.seconds),
                )
            if issubclass(reader, Netmote) and found.sent != found.received + found.dropped:
                raise SystemExit(f"packets are not accounted for: {found}")
            runs.setdefault(reader, []).append(found)
            say(f"run {turn + 1}, {reader.name}: {found.per_second:,.0f}/s, {100 * found.lost:.3f} % lost, {found.ns:,.1f} ns")
    return runs


def _loss(runs: list[_Run]) -> str:
    return "lost " + " / ".join(f"{100 * run.lost:.3g} %" for run in runs)


def _table(runs: dict[type[Reader], list[_Run]]) -> list[Row]:
    least = {reader: min(found.ns for found in of) for reader, of in runs.items()}
    full, slow = runs[Netmote], runs[SmallNetmote]
    whole = max((run.per_second for run in full if run.received == run.sent), default=0.0)
    ours, at_slow = least[Netmote], least[SmallNetmote]
    rows = [
        Row("netmote captures, packets a second with none lost", whole, at_least=_GOAL, beside=_loss(full)),
        Row("netmote, CPU a packet at that rate", ours, "ns"),
        Row(
            f"netmote, share of a core at {_GOAL / 1e6:g} million packets a second",
            100 * ours * _GOAL / 1e9,
            "%",
            at_most=20,
            beside="CPU a packet, scaled",
        ),
        Row(
            "netmote with the default ring, share of a core at 100,000 packets a second", at_slow * 1e-2, "%", beside=_loss(slow)
        ),
    ]
    for reader, goal in ((Softflowd, 4), (Nfpcapd, None), (Argus, None), (NFStream, 18), (Scapy, 800), (SlowSoftflowd, None)):
        if reader in runs:
            beside = at_slow if reader is SlowSoftflowd else ours
            rate = f"it at {reader.rate:,}/s" if reader.rate else f"{max(run.per_second for run in runs[reader]):,.0f}/s"
            note = f"{least[reader]:,.0f} ns, {rate}, {_loss(runs[reader])}"
            what = f"{reader.name} / netmote, CPU a packet received" + (", both at 100,000/s" if reader is SlowSoftflowd else "")
            rows.append(Row(what, least[reader] / beside, at_least=goal, beside=note))
    return rows


if __name__ == "__main__":
    main()
