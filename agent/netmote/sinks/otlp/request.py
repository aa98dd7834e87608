"""Log records as one OTLP request in protobuf (opentelemetry-proto 1.x). Pure; the only door to its classes beside `answer`.

Records of one sensor and ledger share a resource, as the protocol has it: resource -> scope -> records.
"""

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from netmote.sinks.otlp_log import SCOPE_NAME, SCOPE_VERSION, LogRecord, resource_attributes

# OTLP 1.x, "OTLP/HTTP Request".
MEDIA_TYPE = "application/x-protobuf"


def encode_request(records: Iterable[tuple[str, str, LogRecord]]) -> bytes:
    """One request: each record with the sensor and the ledger epoch it comes from, in order."""
    request = ExportLogsServiceRequest()
    scopes: dict[tuple[str, str], logs_pb2.ScopeLogs] = {}
    for sensor, ledger_epoch, record in records:
        scope = scopes.get((sensor, ledger_epoch))
        if scope is None:
            resource = request.resource_logs.add()
            resource.resource.CopyFrom(Resource(attributes=_attributes(resource_attributes(sensor, ledger_epoch))))
            scope = scopes[sensor, ledger_epoch] = resource.scope_logs.add()
            scope.scope.CopyFrom(InstrumentationScope(name=SCOPE_NAME, version=SCOPE_VERSION))
        scope.log_records.append(_record(record))
    return request.SerializeToString()


def _record(record: LogRecord) -> logs_pb2.LogRecord:
    return logs_pb2.LogRecord(
        time_unix_nano=record.time_unix_nano,
        observed_time_unix_nano=record.observed_time_unix_nano,
        severity_number=record.severity_number,  # type: ignore[arg-type] # an enumeration on the wire, a number in the data model
        severity_text=record.severity_text,
        event_name=record.event_name,
        body=AnyValue(string_value=record.body),
        attributes=_attributes(record.attributes),
    )


def _attributes(values: Mapping[str, str | int | float]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def _value(value: str | float) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
