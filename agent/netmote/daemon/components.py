"""The one table of sinks: which class stands behind which type name."""

from netmote.daemon.config import SinkConfig
from netmote.sinks.journal.config import JournalConfig
from netmote.sinks.journal.sink import JournalSink
from netmote.sinks.sink import Sink
from netmote.sinks.webhook.sink import WebhookSink


def build_sink(config: SinkConfig) -> Sink:
    """The sink of this configuration, not opened."""
    if isinstance(config, JournalConfig):
        return JournalSink(config)
    return WebhookSink(config)
