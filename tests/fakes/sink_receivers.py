"""The one table of harnesses: every sink that the contract suite runs over, by its name."""

from local_receivers import Journal, StandardOutput
from nats_receiver import NatsReceiver, TlsNatsReceiver
from rsyslog_receivers import RelpReceiver, SyslogReceiver, TlsRelpReceiver, TlsSyslogReceiver
from sink_receiver import Receiver, TlsReceiver
from webhook_receiver import TlsWebhookReceiver, WebhookReceiver

RECEIVERS: dict[str, type[Receiver]] = {
    "webhook": WebhookReceiver,
    "nats": NatsReceiver,
    "relp": RelpReceiver,
    "syslog": SyslogReceiver,
    "stdout": StandardOutput,
    "journal": Journal,
}

TLS_RECEIVERS: dict[str, type[TlsReceiver]] = {
    "webhook": TlsWebhookReceiver,
    "nats": TlsNatsReceiver,
    "relp": TlsRelpReceiver,
    "syslog": TlsSyslogReceiver,
}
