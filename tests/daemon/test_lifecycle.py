"""The daemon's life within one process: start, requests, reload, stop, and starts that are impossible."""

import asyncio
import json
import socket
from pathlib import Path
from random import Random

import numpy as np
import pytest
from daemon_legs import until
from feature_vectors import hosts, vectors
from running_daemon import ask, config, running
from sample_alert import sample_alert

from netmote.clock import SystemClock
from netmote.control.client import CommandRefusedError
from netmote.daemon.config import Config
from netmote.daemon.lifecycle import Daemon
from netmote.daemon.reload import ReloadRefused
from netmote.errors import ConfigError, Problem, Retryable
from netmote.store.config import StoreConfig
from netmote.store.store import Store
from netmote.telemetry.health import Level


def reason(daemon: Daemon, component: str) -> str | None:
    return next((each.text for each in daemon.health.reasons if each.component == component), None)


async def test_start_status_and_stop(tmp_path: Path) -> None:
    """It runs, answers with a whole snapshot, ends with a checkpoint and the learned state, and can be started again."""
    for _ in range(2):
        async with running(tmp_path) as daemon:
            await until(lambda: daemon.survey.tallies.sources)
            snapshot = (await ask(tmp_path, "status"))["snapshot"]
            assert (snapshot["sensor"], snapshot["level"]) == ("s1", "full")
            assert {leg["name"] for leg in snapshot["legs"]} == {"ingest", "analysis", "delivery"}
            assert [each["name"] for each in snapshot["inputs"]] == ["host"]
            assert snapshot["models"]
        assert not (tmp_path / "control.sock").exists()
        assert (tmp_path / "learned.bin").exists()
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=SystemClock())
    await store.open()
    assert (await store.checkpoint()).position is not None
    await store.close()


async def test_silences_through_the_socket(tmp_path: Path) -> None:
    """A silence set through the socket is in the ledger and in force at once; a bad one is refused in words."""
    async with running(tmp_path) as daemon:
        silence_id = (await ask(tmp_path, "silence", seconds=60, reason="planned", group="new_listener"))["silence_id"]
        assert [each.silence_id for each in daemon.analyse.analysis.book.silences] == [silence_id]
        await ask(tmp_path, "unsilence", silence_id=silence_id)
        with pytest.raises(CommandRefusedError, match="no silence"):
            await ask(tmp_path, "unsilence", silence_id="gone")
        with pytest.raises(CommandRefusedError, match="reason is missing"):
            await ask(tmp_path, "silence", seconds=60)


async def test_accepting_learns_an_entity_anew(tmp_path: Path) -> None:
    """Through the socket: its baseline and calibration are forgotten and that is on the disk at once; nonsense is refused in words."""
    one, other = hosts(2)
    async with running(tmp_path) as daemon:
        scoring = daemon.analyse.analysis.scoring
        scoring.evaluate(vectors(np.ones((2, 3))))
        (baseline,) = scoring._baselines.values()
        assert set(baseline.entities) == {one, other}
        await ask(tmp_path, "accept", entity=str(one))
        assert set(baseline.entities) == {other}
        assert (tmp_path / "learned.bin").exists()
        with pytest.raises(CommandRefusedError):
            await ask(tmp_path, "accept", entity="nonsense")


async def test_reload_takes_up_what_changed(tmp_path: Path) -> None:
    """Through the socket: only changed parts are begun anew, alerts and learned state survive, and it says what it did."""
    wanted = [config()]
    async with running(tmp_path, load=lambda: wanted[-1]) as daemon:
        assert (await ask(tmp_path, "reload"))["said"] == "nothing changed"
        before = daemon.analyse
        wanted.append(config(alerts={"cool_down": "1m"}, sinks=[{"type": "journal"}], log={"level": "warning"}))
        assert (await ask(tmp_path, "reload"))["said"] == "begun anew: analysis, sinks, log"
        assert daemon.analyse is not before
        assert [deliver.sink.name for deliver in daemon.delivers] == ["journal"]
        journal = daemon.delivers[0]
        webhook = {"type": "webhook", "name": "up", "url": "http://127.0.0.1:9/"}
        wanted.append(config(alerts={"cool_down": "1m"}, sinks=[webhook, {"type": "journal"}], log={"level": "warning"}))
        assert (await ask(tmp_path, "reload"))["said"] == "begun anew: sinks"
        assert daemon.delivers[1] is journal
        assert daemon.delivers[0].sink.name == "up"
        await until(lambda: daemon.analyse.progress > 1)
        wanted.append(config(sensor="renamed"))
        assert "at the next start: sensor" in (await ask(tmp_path, "reload"))["said"]
        assert daemon.sensor == "s1"
        assert daemon.delivers == []


async def test_a_changed_rule_file_is_taken_up(tmp_path: Path) -> None:
    """The document is the same, a file it names is not: analysis is begun anew with the new rule."""
    rules = tmp_path / "rules.yaml"
    rule = '{id: mine, title: "{name}", severity: notice, over: fact, fact: clock_step, when: {feature: value, above: %d s}, check: look}'
    rules.write_text("rules: [" + rule % 1 + "]")
    settings = config(scoring={"rules": [str(rules)]})
    async with running(tmp_path / "state", settings, load=lambda: settings) as daemon:
        before = daemon.analyse.analysis.rules.hash
        rules.write_text("rules: [" + rule % 2 + "]")
        assert (await ask(tmp_path / "state", "reload"))["said"] == "begun anew: analysis"
        assert daemon.analyse.analysis.rules.hash != before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError([Problem("x.yaml", 3, "host.interval", "is no duration")]), "x.yaml:3: host.interval"),
        (OSError(5, "Input/output error"), "may be half applied"),
    ],
)
async def test_a_reload_that_cannot_be_keeps_the_old(tmp_path: Path, error: Exception, said: str) -> None:
    """Whatever is wrong, the daemon runs on as before and says so, by signal and by socket; a good one recovers."""
    answers: list[Exception | None] = [error, error, None]

    def load() -> Config:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return config()

    async with running(tmp_path, load=load) as daemon:
        daemon.request_reload()
        await until(lambda: reason(daemon, "config"))
        assert said in reason(daemon, "config")
        with pytest.raises(CommandRefusedError, match=said.replace(".", r"\.")):
            await ask(tmp_path, "reload")
        progress = daemon.analyse.progress
        await until(lambda: daemon.analyse.progress > progress)
        assert (await ask(tmp_path, "reload"))["said"] == "nothing changed"
        assert reason(daemon, "config") is None


async def test_reloads_take_turns_and_none_begins_while_stopping(tmp_path: Path) -> None:
    """Two at once are done one after the other; once the daemon stops, a reload is refused."""
    inside = 0

    def load() -> Config:
        nonlocal inside
        inside += 1
        assert inside == 1
        inside -= 1
        return config()

    async with running(tmp_path, load=load) as daemon:
        assert await asyncio.gather(daemon.reload(), daemon.reload()) == ["nothing changed", "nothing changed"]
        daemon.request_stop()
        with pytest.raises(ReloadRefused, match="stopping"):
            await daemon.reload()


async def test_without_a_document_there_is_nothing_to_reload(tmp_path: Path) -> None:
    """Built-in defaults go on, and that is said."""
    async with running(tmp_path) as daemon:
        assert "no configuration file" in await daemon.reload()


async def test_an_impossible_start_is_one_clear_error(tmp_path: Path) -> None:
    """A bad rule file and a directory in use are said as what they are, and leave nothing locked."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("rules: [{id: x}]")
    wrong = config(scoring={"rules": [str(bad)]})
    first = Daemon(wrong, load=None, state_dir=tmp_path / "state", clock=SystemClock(), random=Random(1))
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        await first.run()
    async with running(tmp_path / "state"):
        second = Daemon(config(), load=None, state_dir=tmp_path / "state", clock=SystemClock(), random=Random(1))
        with pytest.raises(Retryable, match="in use by process"):
            await second.run()
        assert (await ask(tmp_path / "state", "status"))["snapshot"]["level"] == "full"


async def test_what_can_be_missing_is_missing_alone(tmp_path: Path) -> None:
    """No room for the socket's name, a page's port in use, no model: the daemon runs, each with its reason."""
    deep = tmp_path / ("d" * 100)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = config(web={"port": taken.getsockname()[1]}, models={"bundles": []})
        async with running(deep, settings) as daemon:
            assert "no control socket" in reason(daemon, "control")
            assert "no status page" in reason(daemon, "web")
            assert daemon.health.level is Level.RULES
            await until(lambda: daemon.survey.tallies.sources)
            assert daemon.survey.headline().startswith("rules: ")


async def test_alerts_of_what_is_no_longer_observed_end_at_the_start(tmp_path: Path) -> None:
    """A device that was removed while the daemon was down does not keep its alert firing."""
    settings = config(
        snmp={"interval": "1s", "targets": [{"name": "sw1", "address": "127.0.0.1", "port": 9, "timeout": "100ms"}]}
    )

    def states(daemon: Daemon) -> list[str]:
        # Of this alert alone: other programs of this machine may open ports meanwhile.
        alerts = daemon.survey.snapshot().alerts
        return [alert.state for alert in alerts if alert.group == "snmp_broken"]

    async with running(tmp_path, settings) as daemon:
        await until(lambda: states(daemon) == ["firing"], 20)
        assert daemon.survey.snapshot().devices[0].state == "snmp_broken"
    async with running(tmp_path) as daemon:
        await until(lambda: states(daemon) == ["resolved"])


async def test_waiting_alerts_of_a_sink_that_left_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A sink taken out of the document with alerts waiting for it is named at the start."""
    store = Store(tmp_path, StoreConfig(free_space_floor=0), sensor="s1", clock=SystemClock())
    await store.open()
    await store.register_sink("old")
    await store.commit([sample_alert(1)], None)
    await store.close()
    async with running(tmp_path):
        pass
    assert "1 alerts wait for a sink that is not configured" in caplog.text


async def test_the_service_manager_hears_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY, STATUS, RELOADING, WATCHDOG by progress, STOPPING, in this order, on a real socket."""
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        asyncio.get_running_loop().add_reader(manager.fileno(), lambda: heard.append(manager.recv(4096).decode()))
        async with running(tmp_path / "state", load=config) as daemon:
            await daemon.reload()
            await until(lambda: sum(message == "WATCHDOG=1" for message in heard) >= 3)
        await until(lambda: any(message == "STOPPING=1" for message in heard))
        asyncio.get_running_loop().remove_reader(manager.fileno())
    kinds = [message.partition("=")[0] for message in heard]
    assert kinds[0] in ("STATUS", "READY")
    assert kinds.index("READY") < kinds.index("RELOADING") < kinds.index("STOPPING")
    assert any(message.startswith("STATUS=full: ") for message in heard)


async def test_the_page_shows_and_metrics_count(tmp_path: Path) -> None:
    """The page, health, metrics and snapshot of a running daemon answer over HTTP."""
    import aiohttp

    settings = config(web={"port": 0}, sinks=[{"type": "journal"}])
    async with running(tmp_path, settings) as daemon, aiohttp.ClientSession() as client:
        await until(lambda: daemon.survey.tallies.sources)
        assert daemon.page.server is not None
        for path, needle in (("", "s1"), ("metrics", "netmote_queue_entries"), ("healthz", "full"), ("api/snapshot", "journal")):
            async with client.get(daemon.page.server.url + path) as answer:
                assert answer.status == 200, path
                assert needle in await answer.text(), path
        async with client.get(daemon.page.server.url + "metrics") as answer:
            text = await answer.text()
        assert 'netmote_models{state="active"} 1.0' in text
        assert 'netmote_entities{baseline="armed"} 0.0' in text
        assert json.loads(daemon.survey.snapshot().to_json())["sinks"][0]["state"] in ("ok", "starting")
