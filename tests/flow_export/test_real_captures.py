"""Recordings of real networks through the meter, the exporters and a real collector: what arrives is what was metered."""

import json
from collections import Counter
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from flow_collectors import Nfcapd
from ipfix_round_trip import collected, expected, exported, process

from netmote.cli.flow_output import CaptureTotals
from netmote.errors import NetmoteError
from netmote.flow_export.eve.encoding import eve_lines
from netmote.metering.config import MeteringConfig
from netmote.records.flow import FLOW_DTYPE

pytestmark = [pytest.mark.realdata, pytest.mark.timeout(240)]
SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "eve_flow_schema.json").read_text()))
_MOST_FLOWS = 20_000


@pytest.fixture(scope="module")
def records(data: Path) -> np.ndarray:
    """Flows of all recordings, damaged ones among them, up to a number that nfcapd reads in seconds."""
    parts = [np.zeros(0, FLOW_DTYPE)]
    for path in sorted((data / "pcap").rglob("*.pcap")):
        try:
            parts += [each for _, each in CaptureTotals(path.name).read(path, MeteringConfig())]
        except NetmoteError:
            continue  # no capture file at all: its own tests tell of it
        if sum(map(len, parts)) > _MOST_FLOWS:
            break
    flows = np.concatenate(parts)
    # Where a recording has a time before 1970 or after 2262, nfdump and we would print it differently.
    return flows[(flows["flow_start_ns"] > 0) & (flows["flow_end_ns"] < 4 * 10**18)]


@pytest.mark.parametrize("form", ["uniflow", "biflow"])
async def test_nfcapd_reads_what_was_metered(records: np.ndarray, tmp_path: Path, form: str) -> None:
    """Every flow of every recording: addresses, ports or ICMP type and code, VLAN, times, packets, octets, flags."""
    assert len(records) > 1_000
    nfcapd = Nfcapd(tmp_path / "flows").start()
    work = process(nfcapd.port, records=form)
    await exported(work, records)
    nfcapd.stop()
    assert work.tally.flows == len(records)
    found, wanted = collected(nfcapd.flows()), expected(records, form)
    assert found - wanted == Counter()
    assert wanted - found == Counter()
    assert nfcapd.sequence_failures == 0


def test_every_line_is_suricatas(records: np.ndarray) -> None:
    """Every flow of every recording is a line that the schema knows, with the record's counts."""
    events = [json.loads(line) for line in eve_lines(records, interface="eth0")]
    for event in events:
        SCHEMA.validate(event)
    for name, side in (("toserver", "initiator"), ("toclient", "responder")):
        assert [event["flow"][f"pkts_{name}"] for event in events] == records[f"{side}_packets"].tolist()
        assert [event["flow"][f"bytes_{name}"] for event in events] == records[f"{side}_octets"].tolist()
