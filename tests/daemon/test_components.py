"""The table of sinks and the root of the document."""

import pytest
from pydantic import ValidationError

from netmote.daemon.components import build_sink
from netmote.daemon.config import Config, load_config
from netmote.errors import ConfigError
from netmote.sinks.alertmanager.sink import AlertmanagerSink
from netmote.sinks.journal.sink import JournalSink
from netmote.sinks.webhook.sink import WebhookSink


def test_each_type_has_its_class() -> None:
    """The discriminator of the document and the class that is built agree, and the name goes with it."""
    config = Config.model_validate(
        {
            "sinks": [
                {"type": "journal", "name": "here"},
                {"type": "webhook", "name": "there", "url": "http://127.0.0.1:1/"},
                {"type": "alertmanager", "name": "people", "url": "http://127.0.0.1:1/"},
            ]
        }
    )
    built = [build_sink(sink) for sink in config.sinks]
    assert [(type(sink), sink.name) for sink in built] == [
        (JournalSink, "here"),
        (WebhookSink, "there"),
        (AlertmanagerSink, "people"),
    ]


def test_sink_names_are_unique() -> None:
    """Two of one name would share a cursor."""
    with pytest.raises(ValidationError, match="given twice: journal"):
        Config.model_validate({"sinks": [{"type": "journal"}, {"type": "journal"}]})


@pytest.mark.parametrize("name", ["a/b", "a:b", "a b"])
def test_a_sensors_name_is_part_of_entities(name: str) -> None:
    """What would break an entity's name is refused; without one the host name is made fit."""
    with pytest.raises(ValidationError):
        Config.model_validate({"sensor": name})
    assert set(Config().sensor_name).isdisjoint("/: \t")
    assert Config.model_validate({"sensor": "s1"}).sensor_name == "s1"


def test_every_problem_of_a_document_at_once(tmp_path) -> None:
    """Two mistakes are two problems with their lines."""
    document = tmp_path / "netmote.yaml"
    document.write_text("host:\n  interval: soon\nweb:\n  port: 99999\n")
    with pytest.raises(ConfigError) as raised:
        load_config(document)
    assert [(problem.line, problem.key) for problem in raised.value.problems] == [(2, "host.interval"), (4, "web.port")]
