"""Silence, lateness, and two machines under one name."""

from netmote.collector.watch import Watch

MINUTE = 60.0


def heard(*beats: tuple[str, str, float], sensor: str = "s1", interval: float = MINUTE) -> Watch:
    watch = Watch()
    for epoch, started_at, now in beats:
        watch.beat(sensor, epoch, started_at=started_at, interval=interval, now=now)
    return watch


def test_three_missed_heartbeats_are_silence() -> None:
    """One or two missing are late; from the third on the sensor is silent, and one beat makes it live again."""
    watch = heard(("a", "t0", 0.0))
    states = {now: watch.liveness("s1", now).state for now in (59.0, 64.0, 66.0, 130.0, 184.0, 186.0)}
    assert states == {59.0: "live", 64.0: "live", 66.0: "late", 130.0: "late", 184.0: "late", 186.0: "silent"}
    watch.beat("s1", "a", started_at="t0", interval=MINUTE, now=200.0)
    assert watch.liveness("s1", 201.0).state == "live"


def test_a_sensor_without_heartbeats_is_not_judged() -> None:
    """Whoever leaves heartbeats out cannot be missed."""
    assert Watch().liveness("s1", 1.0) is None


def test_a_collector_that_just_started_waits_before_it_calls_silence() -> None:
    """Known sensors have three heartbeats' time from its start."""
    watch = Watch()
    watch.know("s1", "a", started_at="t0", interval=MINUTE, now=1_000.0)
    assert watch.liveness("s1", 1_010.0).state == "waiting"
    assert watch.liveness("s1", 1_200.0).state == "silent"
    watch.beat("s1", "a", started_at="t0", interval=MINUTE, now=1_201.0)
    assert watch.liveness("s1", 1_202.0).state == "live"


def test_a_reflash_is_no_second_machine() -> None:
    """The old epoch stops before the new one begins."""
    watch = heard(("old", "t0", 0.0), ("old", "t0", 60.0), ("new", "t1", 100.0), ("new", "t1", 160.0))
    assert watch.liveness("s1", 161.0).others == ()


def test_a_cloned_card_is_two_live_epochs_until_one_stops() -> None:
    """Beats of the older epoch after the newer began: both are alive, and it is over when one is silent."""
    watch = heard(("old", "t0", 0.0), ("new", "t1", 30.0), ("old", "t0", 60.0), ("new", "t1", 90.0))
    assert watch.liveness("s1", 91.0).others == ("old",)
    for now in (150.0, 210.0, 270.0, 330.0):
        watch.beat("s1", "new", started_at="t1", interval=MINUTE, now=now)
    assert watch.liveness("s1", 331.0).others == ()


def test_two_copies_of_one_ledger_are_seen_by_their_starts() -> None:
    """A restored snapshot carries the same epoch: two starts that beat in turns are two machines."""
    watch = heard(("a", "t0", 0.0), ("a", "t1", 20.0), ("a", "t0", 60.0))
    assert watch.liveness("s1", 61.0).others == ("a",)


def test_restarts_are_bounded() -> None:
    """A sensor that restarts in a loop costs a bounded memory and is not called two machines."""
    watch = heard(*(("a", f"t{at}", float(at)) for at in range(1_000)))
    assert watch.liveness("s1", 1_000.0).others == ()
    assert len(watch._processes["s1"]) <= 8
