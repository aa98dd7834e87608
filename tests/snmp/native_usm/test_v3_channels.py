"""What the channels of a back end share."""

import asyncio
import logging
import random
import time
from dataclasses import replace

import pytest
from manual_clock import ManualClock
from usm_engine import UsmEngine
from usm_exchange import REQUEST, USER

from netmote.snmp.native.channel import Verdict
from netmote.snmp.native.v3_channel import V3Channel
from netmote.snmp.native.v3_channels import V3Channels
from netmote.snmp.session import UnsupportedSecurityLevel


def poll(channel: V3Channel, engine: UsmEngine, message_id: int) -> bytes:
    """One exchange; the last request that was sent."""
    while True:
        sent = channel.seal(REQUEST.pdu(message_id), message_id) or channel.probe(message_id)
        if channel.open(engine.answer(sent) or b"").verdict is Verdict.ANSWER:
            return sent


async def test_two_channels_to_one_engine_never_share_a_salt() -> None:
    """One device under two names, or a cloned one: their keys are equal, and so may be their clocks."""
    clock = ManualClock()
    channels = V3Channels(random=random.Random(1), monotonic=clock.monotonic)
    engine = UsmEngine(USER, clock.monotonic)
    pair = [await channels.open(USER, device=name) for name in ("a", "b")]
    sent = {poll(channel, engine, 0x0100_0001)[-40:] for channel in pair for _ in range(50)}
    assert len(sent) == 100


async def test_keys_are_derived_beside_the_loop() -> None:
    """A hundred passwords, each a megabyte to hash: the loop goes on meanwhile."""
    channels = V3Channels(random=random.Random(1), monotonic=ManualClock().monotonic)
    held = []

    async def watch() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.001)
            held.append(time.monotonic() - began)

    watching = asyncio.get_running_loop().create_task(watch())
    users = [replace(USER, auth_protocol="md5", auth_password=f"password-{number}") for number in range(100)]
    await asyncio.gather(*(channels.open(user, device="d") for user in users))
    watching.cancel()
    assert len(held) > 2, "the loop turned while keys were derived"


async def test_what_cannot_be_used_is_refused_at_once() -> None:
    """Before a socket is opened."""
    channels = V3Channels(random=random.Random(1), monotonic=ManualClock().monotonic)
    with pytest.raises(UnsupportedSecurityLevel):
        await channels.open(replace(USER, auth_password="short"), device="d")


async def test_surprises_are_logged_with_the_device(caplog: pytest.LogCaptureFixture) -> None:
    """Once of each kind and device, as a warning."""
    clock = ManualClock()
    clock.advance(10_000.0)
    channels = V3Channels(random=random.Random(1), monotonic=clock.monotonic)
    engine = UsmEngine(USER, clock.monotonic, boots=9)
    channel = await channels.open(USER, device="core-1")
    with caplog.at_level(logging.WARNING):
        for number in range(1, 4):
            poll(channel, engine, 0x0100_0000 + number)
            engine.boots -= 1
    (record,) = caplog.records
    assert "boots went back" in record.getMessage()
    assert (record.device, record.component) == ("core-1", "snmp")  # type: ignore[attr-defined]
    assert channel.learnt == {"boots_back": 2}
