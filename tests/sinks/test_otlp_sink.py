"""The OTLP sink: what is on the wire, what an answer means, and that a collector of others takes it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from otlp_server import OtlpServer, attributes, rotel
from sink_alerts import committed_alert

from netmote.errors import Permanent, Retryable
from netmote.sinks.otlp.answer import judge
from netmote.sinks.otlp.config import OtlpConfig
from netmote.sinks.otlp.sink import OtlpSink

BATCH = [committed_alert(number) for number in range(1, 4)]


async def test_a_record_on_the_wire() -> None:
    """Protobuf of the data model: the finding as body, who says it as resource, times in nanoseconds."""
    server = OtlpServer()
    await server.start()
    sink = OtlpSink(OtlpConfig(type="otlp", url=server.url))
    await sink.deliver(BATCH)
    await sink.close()
    await server.stop()
    first = server.records[0]
    assert server.resources == [server.resources[0]], "one resource for all records of a sensor"
    assert server.resources[0]["service.instance.id"] == "branch-7"
    assert json.loads(first.body.string_value)["metadata"]["uid"] == BATCH[0].alert.event_id
    assert attributes(first)["event.id"] == BATCH[0].alert.event_id
    assert attributes(first)["netmote.seq"] == 1
    assert (first.time_unix_nano, first.observed_time_unix_nano) == (BATCH[0].alert.last_seen_ns, BATCH[0].committed_at_ns)
    assert (first.severity_number, first.severity_text) == (18, "critical")


async def test_a_poisonous_row_is_found_by_halving() -> None:
    """OTLP says how many were rejected and not which: the batch is refused whole, and a single one as well."""
    server = OtlpServer()
    server.poison = BATCH[1].alert.event_id
    await server.start()
    sink = OtlpSink(OtlpConfig(type="otlp", url=server.url))
    for rows in (BATCH, BATCH[1:2]):
        with pytest.raises(Permanent, match="1 of the batch rejected: poison"):
            await sink.deliver(rows)
    await sink.deliver([BATCH[0], BATCH[2]])
    await sink.close()
    await server.stop()


async def test_a_collector_of_others_takes_it(tmp_path: Path) -> None:
    """A real one decodes it and forwards every record as it came."""
    upstream = OtlpServer()
    await upstream.start()
    collector = rotel(tmp_path, forward_to=upstream)
    try:
        await asyncio.to_thread(collector.start)
        sink = OtlpSink(OtlpConfig(type="otlp", url=f"http://127.0.0.1:{collector.port}/v1/logs"))
        await sink.deliver(BATCH)
        await sink.close()
        async with asyncio.timeout(10):
            while len(upstream.records) < 3:  # noqa: ASYNC110 - another process sends it
                await asyncio.sleep(0.02)
    finally:
        collector.kill()
        await upstream.stop()
    assert [attributes(record)["event.id"] for record in upstream.records] == [row.alert.event_id for row in BATCH]
    assert upstream.resources[0]["netmote.ledger_epoch"] == "3f2a9c"


def partial(rejected: int, message: str = "") -> bytes:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = rejected
    answer.partial_success.error_message = message
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("status", "kind", "body", "expected"),
    [
        (200, "application/x-protobuf", b"", None),
        (200, "application/x-protobuf", partial(0, "you send a lot"), None),
        (200, "application/x-protobuf", partial(2, "too old"), Permanent),
        (200, "application/json", b"{}", None),
        (200, "application/json; charset=utf-8", b'{"partialSuccess":{}}', None),
        (200, "application/json", b'{"partialSuccess":{"rejectedLogRecords":"1"}}', Permanent),
        (200, "text/html", b"<html>hello</html>", Retryable),
        (200, "application/json", b"[]", Retryable),
        (200, "application/json", b'{"partialSuccess":7}', Retryable),
        (400, "application/x-protobuf", b"", Permanent),
        (404, "text/plain", b"", Retryable),
        (429, "text/plain", b"", Retryable),
        (503, "text/plain", b"", Retryable),
    ],
)
def test_answers(status: int, kind: str, body: bytes, expected: type[Exception] | None) -> None:
    """A page of some other server is no acceptance."""
    verdict = judge(status, {"Content-Type": kind}, body, now_ns=0)
    assert verdict is None if expected is None else isinstance(verdict, expected)


def test_without_its_library_the_configuration_is_refused_and_names_the_extra() -> None:
    """Before anything runs."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\nfrom netmote.sinks.otlp.config import OtlpConfig\n"
        "try: OtlpConfig(type='otlp', url='https://a/v1/logs')\nexcept ValueError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30).stdout
    assert 'pip install "netmote[otlp]"' in told
