"""Top talkers: sums by address, against a sum in plain Python."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from observed_records import SCANNER, TARGET, pane

from netmote.cli.talkers import top_talkers
from netmote.records.flow import address_text


def test_both_directions() -> None:
    """An initiator has sent what it initiated and received what was answered; seconds count each pane once."""
    found = top_talkers([pane(0), pane(1, ports=5), pane(1, interface="eth1")], 10)
    assert (found.seconds, found.addresses) == (10.0, 2)
    by_address = {each.address: each for each in found.largest}
    assert by_address[SCANNER].sent_octets == by_address[TARGET].received_octets == 3 * 1500 + 5 * 44
    assert by_address[SCANNER].received_octets == 3 * 9000
    assert by_address[TARGET].packets == 3 * 22 + 5
    assert by_address[SCANNER].flows == 6  # one goes on through all panes


def test_nothing() -> None:
    """No flows, no talkers; no batch, no seconds."""
    assert top_talkers([], 5).largest == ()
    assert top_talkers([], 5).seconds == 0.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**40), st.integers(0, 2**40)), max_size=40))
def test_against_plain_sums(rows: list[tuple[int, int, int, int]]) -> None:
    """For any slices the octets of each address are the plain sums, and the order is by their total."""
    batch = pane(0, ports=len(rows))
    slices = batch.slices[: len(rows)]
    sent: dict[str, int] = defaultdict(int)
    received: dict[str, int] = defaultdict(int)
    for place, (source, destination, out, back) in enumerate(rows):
        addresses = [bytes([0xFD, *bytes(14), number]) for number in (source, destination)]
        slices[place]["source_address"], slices[place]["destination_address"] = map(np.void, addresses)
        slices[place]["initiator_octets"], slices[place]["responder_octets"] = out, back
        first, second = map(address_text, addresses)
        sent[first] += out
        sent[second] += back
        received[first] += back
        received[second] += out
    found = top_talkers([type(batch)(batch.source, batch.start_ns, batch.end_ns, batch.interface, slices, batch.loss)], 1000)
    assert {each.address: (each.sent_octets, each.received_octets) for each in found.largest} == {
        address: (sent[address], received[address]) for address in sent
    }
    totals = [each.sent_octets + each.received_octets for each in found.largest]
    assert totals == sorted(totals, reverse=True)
