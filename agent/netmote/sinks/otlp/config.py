"""Configuration of the OTLP sink."""

from typing import Literal, Self

from pydantic import Field, model_validator

from netmote.sinks.http_config import HttpConfig
from netmote.sinks.libraries import require_library


class OtlpConfig(HttpConfig):
    """Alerts as OpenTelemetry log records by OTLP/HTTP (binary protobuf); the body of a record is the OCSF Detection Finding."""

    type: Literal["otlp"]
    """Which sink this is."""

    name: str = Field(default="otlp", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    compression: Literal["gzip", "none"] = "gzip"
    """How bodies over 1 kB are encoded; `none` for receivers that refuse Content-Encoding."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts in one request."""

    @model_validator(mode="after")
    def _library(self) -> Self:
        require_library("opentelemetry.proto.collector.logs.v1", extra="otlp")
        return self
