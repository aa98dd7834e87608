"""What an OTLP/HTTP answer means for the batch it answers. Pure: status, headers and body in, None or an error out.

| answer | meaning |
| --- | --- |
| 2xx with an ExportLogsServiceResponse that rejects none | the whole batch is accepted; a message beside it is only a warning |
| 2xx with `partial_success.rejected_log_records` | refused for ever, but not which: delivery halves the batch until it finds the row |
| 2xx with anything else | not an OTLP receiver: try again, lose nothing, say what to mend |
| every other status | as `netmote.sinks.http_answer` has it |
"""

import json
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from netmote.errors import NetmoteError, Permanent, Retryable
from netmote.sinks.http_answer import excerpt, judge_status, printable


def judge(status: int, headers: Mapping[str, str], body: bytes, *, now_ns: int) -> NetmoteError | None:
    """The error to raise for this answer to a batch, None when all of it is accepted."""
    error = judge_status(status, headers, body, now_ns=now_ns)
    if error is not None:
        return error
    try:
        rejected, message = _partial_success(headers.get("Content-Type", ""), body)
    except (DecodeError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return Retryable(f"{status} with an answer that is not OTLP{excerpt(body)}: check url")
    return Permanent(f"{rejected} of the batch rejected: {printable(message) or 'no reason given'}") if rejected > 0 else None


def _partial_success(content_type: str, body: bytes) -> tuple[int, str]:
    """How many records were rejected, and why."""
    if content_type.partition(";")[0].strip() == "application/json":
        partial = json.loads(body or b"{}").get("partialSuccess") or {}
        return int(partial.get("rejectedLogRecords", 0)), str(partial.get("errorMessage", ""))
    partial = ExportLogsServiceResponse.FromString(body).partial_success
    return partial.rejected_log_records, partial.error_message
