"""Privacy of a daemon: its key, what it refuses, and that no address reaches disk or sink where that is asked for."""

import stat
from pathlib import Path
from typing import Any

import pytest
from collector import Collector as FakeCollector
from daemon_legs import until
from heartbeats import sample_heartbeat
from observed_records import pane
from recording_sink import RecordingSink
from running_daemon import QUIET, beating
from sink_alerts import committed_alert

from netmote.clock import SystemClock
from netmote.daemon.concealing_sink import concealing
from netmote.daemon.config import Config
from netmote.daemon.privacy import KEY_NAME, key_of
from netmote.errors import PartialDelivery, Permanent, Retryable
from netmote.privacy.treatment import AddressTreatment
from netmote.sinks.sink import StateSink
from netmote.windows.config import WindowsConfig

NO_PACKETS = {"capture": {"interfaces": [], "evidence_size": "0B"}}


def hashing() -> AddressTreatment:
    return AddressTreatment("hash", key=bytes(32), local_networks=WindowsConfig().local_networks)


def test_the_key_is_drawn_once_and_for_nobody_else(tmp_path: Path) -> None:
    """Whatever the umask, its file is the owner's alone; the next start reads the same; another sensor draws another."""
    key = key_of(tmp_path, None)
    assert stat.S_IMODE((tmp_path / KEY_NAME).stat().st_mode) == 0o600
    assert key_of(tmp_path, None) == key
    (tmp_path / "other").mkdir()
    assert key_of(tmp_path / "other", None) != key


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "\N{SNOWMAN}"])
def test_a_damaged_key_stops_the_start(tmp_path: Path, content: str) -> None:
    """Rather than giving everybody another pseudonym without a word."""
    path = tmp_path / KEY_NAME
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(Permanent, match=KEY_NAME):
        key_of(tmp_path, None)


def test_a_key_that_others_can_read_is_none(tmp_path: Path) -> None:
    """Who has the key can test every address."""
    key_of(tmp_path, None)
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(Permanent, match="chmod 600"):
        key_of(tmp_path, None)


def test_a_shared_key_comes_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same secret gives the same key on every sensor and leaves no file; a short or absent one is refused."""
    monkeypatch.setenv("NMP_KEY", "correct horse battery staple")
    assert key_of(tmp_path, "env:NMP_KEY") == key_of(tmp_path / "elsewhere", "env:NMP_KEY")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("NMP_KEY", "short")
    with pytest.raises(Permanent, match="too short"):
        key_of(tmp_path, "env:NMP_KEY")
    with pytest.raises(Retryable):
        key_of(tmp_path, f"file:{tmp_path}/none")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"privacy": {"sinks": {"nowhere": "hash"}}}, "sinks there are not: nowhere"),
        ({"privacy": {"at_rest": "hash"}}, "evidence_size"),
        ({**NO_PACKETS, "privacy": {"at_rest": "hash"}, "windows": {"local_networks": ["10.0.0.0/8"]}}, "add it to"),
        ({"privacy": {"upstream": "hash"}, "flow_export": [{"type": "eve", "path": "f.json"}]}, "flow_export sends"),
    ],
)
def test_what_would_undo_it_is_refused(changes: dict[str, Any], reason: str) -> None:
    """Names that are none, packets on disk beside hidden records, pseudonyms that are no hosts of ours, flows that leave bare."""
    with pytest.raises(ValueError, match=reason):
        Config.model_validate({**QUIET, **changes})


def test_an_exporter_may_be_named_as_keeping() -> None:
    """Flows that are meant to leave as they are."""
    Config.model_validate(
        {**QUIET, "privacy": {"upstream": "hash", "sinks": {"eve": "keep"}}, "flow_export": [{"type": "eve", "path": "f.json"}]}
    )


async def test_a_sink_behind_a_treatment_sees_no_address() -> None:
    """Alerts and heartbeats pass it under their numbers; refusals keep their positions; keeping puts nothing before a sink."""
    inner = RecordingSink(answers=[PartialDelivery({1: "poison"}), None])
    sink = concealing(inner, hashing())
    rows = [committed_alert(number) for number in (1, 2)]
    await sink.open()
    with pytest.raises(PartialDelivery) as refusal:
        await sink.deliver(rows)
    assert list(refusal.value.rejected) == [1]
    await sink.deliver(rows)
    await sink.beat(sample_heartbeat())
    await sink.close()
    assert [row.seq for row in inner.accepted] == [1, 2]
    assert all("192.0.2" not in repr(row) for row in inner.accepted)
    assert (inner.opened, inner.closed, len(inner.beats)) == (1, 1, 1)
    keeping = AddressTreatment("keep", key=b"", local_networks=())
    assert concealing(inner, keeping) is inner
    assert not isinstance(sink, StateSink)


class TellingSink(RecordingSink):
    """A sink that is told what is active."""

    resend_interval = 30.0

    def __init__(self) -> None:
        super().__init__()
        self.learnt: list[Any] = []
        self.resent = 0

    async def learn(self, active) -> None:
        self.learnt = list(active)

    async def resend(self) -> None:
        self.resent += 1


async def test_what_is_active_is_hidden_as_well() -> None:
    """A receiver that is told again and again is told pseudonyms, at the pace of the sink within."""
    inner = TellingSink()
    sink = concealing(inner, hashing())
    assert isinstance(sink, StateSink)
    assert sink.resend_interval == 30.0
    await sink.learn([committed_alert(1)])
    await sink.resend()
    assert "192.0.2" not in repr(inner.learnt)
    assert inner.resent == 1


async def test_pseudonyms_on_disk_and_one_sink_that_may_see_more(tmp_path: Path) -> None:
    """At rest no octet of an address is in any file of the state directory, and after a restart the same pseudonyms go on."""
    state = tmp_path / "state"
    addresses: list[set[bytes]] = []
    for number in (1, 2):
        async with beating(state, **NO_PACKETS, privacy={"at_rest": "hash"}) as daemon:
            daemon.ingest.put(pane(number, ports=50, origin_ns=SystemClock().now_ns()))
            await until(lambda: "capture:eth0" in daemon.survey.tallies.sources)
            await daemon.ingest.drain()
            stored = [batch for _, batch in await daemon.store.read_after(None) if batch.source == "capture:eth0"]
            addresses.append(set(stored[-1].slices["source_address"].tolist()))
    assert addresses[0] == addresses[1]
    real = {
        bytes(value) for side in ("source_address", "destination_address") for value in pane(1, ports=50).slices[side].tolist()
    }
    assert not real & addresses[0]
    content = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert not [octets for octets in real if octets[12:] in content and octets in content]


async def test_each_sink_has_its_own_treatment(tmp_path: Path) -> None:
    """Through real deliveries: one receiver gets the alert as it is, the other a pseudonym under the same number."""
    async with FakeCollector(tmp_path / "a.db") as trusted, FakeCollector(tmp_path / "b.db") as other:
        sinks = [
            {"type": "webhook", "name": name, "url": url, "timeout": "2s"}
            for name, url in (("trusted", trusted.url), ("other", other.url))
        ]
        privacy = {"upstream": "hash", "sinks": {"trusted": "keep"}}
        async with beating(tmp_path / "state", sinks=sinks, privacy=privacy) as daemon:
            await daemon.store.commit([committed_alert(1).alert], None)
            daemon.deliveries.wake()

            def alerts(collector: FakeCollector) -> list[dict[str, Any]]:
                return [event for event in collector.events if "tried 412 ports" in str(event)]

            await until(lambda: alerts(trusted) and alerts(other))
            assert "192.0.2.7" in str(alerts(trusted))
            assert "192.0.2.7" not in str(alerts(other))
            assert alerts(trusted)[0]["seq"] == alerts(other)[0]["seq"]
            assert alerts(trusted)[0]["id"] != alerts(other)[0]["id"]
