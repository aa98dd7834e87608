"""The table of objects agrees with the columns of the records."""

import re

from netmote.records.interface import INTERFACE_COUNTERS
from netmote.snmp import mib
from netmote.snmp.oid import oid_text


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def test_each_counter_comes_from_the_object_of_its_name() -> None:
    """Column by column: the field is the object's name in snake case, so no column can be swapped."""
    assert len(mib.COUNTER_SOURCES) == len(INTERFACE_COUNTERS)
    for field, source in zip(INTERFACE_COUNTERS, mib.COUNTER_SOURCES, strict=True):
        if source.wide:
            assert snake_case(source.wide) == field
            assert source.narrow == source.wide.replace("HC", "")
        elif source.narrow:
            assert snake_case(source.narrow) == field
        else:
            assert field == "carrier_transitions"


def test_objects_stand_in_their_tables() -> None:
    """Every column lies under ifEntry or ifXEntry, and no two share a number."""
    texts = {name: oid_text(oid) for name, oid in mib.COLUMN.items()}
    assert len(set(texts.values())) == len(texts)
    assert all(text.startswith(("1.3.6.1.2.1.2.2.1.", "1.3.6.1.2.1.31.1.1.1.")) for text in texts.values())
    assert texts["ifHCInOctets"] == "1.3.6.1.2.1.31.1.1.1.6"
    assert texts["ifOutErrors"] == "1.3.6.1.2.1.2.2.1.20"


def test_error_status_names_stand_at_their_numbers() -> None:
    """RFC 3416 section 3: tooBig 1, genErr 5, authorizationError 16."""
    assert mib.ERROR_STATUS[mib.TOO_BIG] == "tooBig"
    assert mib.ERROR_STATUS[5] == "genErr"
    assert mib.ERROR_STATUS[mib.NO_SUCH_NAME] == "noSuchName"
    assert mib.ERROR_STATUS[mib.AUTHORIZATION_ERROR] == "authorizationError"
