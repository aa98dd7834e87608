"""The one table of harnesses: every sink that the contract suite runs over, by its name."""

from alertmanager_receiver import AlertmanagerReceiver, TlsAlertmanagerReceiver
from file_receiver import FileReceiver
from kafka_receiver import KafkaReceiver
from local_receivers import Journal, StandardOutput
from mqtt_receiver import MqttReceiver, TlsMqttReceiver
from nats_receiver import NatsReceiver, TlsNatsReceiver
from otlp_receiver import OtlpReceiver, TlsOtlpReceiver
from rsyslog_receivers import RelpReceiver, SyslogReceiver, TlsRelpReceiver, TlsSyslogReceiver
from sink_receiver import Receiver, TlsReceiver
from webhook_receiver import TlsWebhookReceiver, WebhookReceiver

RECEIVERS: dict[str, type[Receiver]] = {
    "webhook": WebhookReceiver,
    "nats": NatsReceiver,
    "alertmanager": AlertmanagerReceiver,
    "relp": RelpReceiver,
    "syslog": SyslogReceiver,
    "mqtt": MqttReceiver,
    "kafka": KafkaReceiver,
    "otlp": OtlpReceiver,
    "file": FileReceiver,
    "stdout": StandardOutput,
    "journal": Journal,
}

TLS_RECEIVERS: dict[str, type[TlsReceiver]] = {
    "webhook": TlsWebhookReceiver,
    "nats": TlsNatsReceiver,
    "alertmanager": TlsAlertmanagerReceiver,
    "relp": TlsRelpReceiver,
    "syslog": TlsSyslogReceiver,
    "mqtt": TlsMqttReceiver,
    "otlp": TlsOtlpReceiver,
}
