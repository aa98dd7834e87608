"""Configuration of the webhook sink."""

from typing import Literal

from pydantic import Field

from netmote.sinks.http_config import HttpConfig


class WebhookConfig(HttpConfig):
    """Alerts by HTTP(S) POST, as batches of CloudEvents 1.0 (`application/cloudevents-batch+json`) of OCSF Detection Findings."""

    type: Literal["webhook"]
    """Which sink this is."""

    name: str = Field(default="webhook", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    """Name in status, metrics and log lines; unique among the sinks. The delivery cursor is kept under it."""

    compression: Literal["gzip", "none"] = "gzip"
    """How bodies over 1 kB are encoded; `none` for receivers that refuse Content-Encoding."""

    batch_size: int = Field(default=100, ge=1, le=1_000)
    """The most alerts in one POST."""
