"""Names of alerts are derived, never drawn."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from netmote.alerts.fingerprint import alert_id_of, fingerprint_of
from netmote.records.entity import Entity, EntityKind

ENTITY = Entity(EntityKind.HOST, "10.0.0.1")
TEXT = st.text(max_size=8)
WHO = st.tuples(TEXT, TEXT, st.builds(Entity, st.sampled_from(EntityKind), TEXT))


def test_the_names_never_change():
    """Written down once: ledgers and upstream systems hold these for ever."""
    fingerprint = fingerprint_of("probe", "vertical_scan", ENTITY)
    assert fingerprint == "69286ed949dc2ddbe80808123211d5c5"
    assert alert_id_of(fingerprint, 1_700_000_000_000_000_000) == "8e0d9099-ce8f-5c13-bc03-bcfb92b9d553"


def test_an_id_is_a_uuid_of_version_five():
    """RFC 9562 section 5.5."""
    assert UUID(alert_id_of("f", 1)).version == 5
    assert alert_id_of("f", 1) != alert_id_of("f", 2)


@given(WHO, WHO)
def test_different_things_have_different_fingerprints(one, other):
    """No two of sensor, group and entity run together: joining texts differently gives something else."""
    assert (fingerprint_of(*one) == fingerprint_of(*other)) is (one == other)


def test_names_that_are_not_text_have_a_fingerprint():
    """A device may name a port with bytes that are no UTF-8; they arrive as lone surrogates."""
    assert len(fingerprint_of("probe", "g", Entity(EntityKind.INTERFACE, "sw1/\udcff"))) == 32
