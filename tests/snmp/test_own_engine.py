"""Our own engine id and boots: the same id for ever, boots risen at each start, whatever happens to the file."""

import json
from pathlib import Path

import pytest

from netmote.errors import Unavailable
from netmote.snmp.own_engine import FILE_NAME, begin_engine


def test_boots_rise_and_the_id_stays(tmp_path: Path) -> None:
    """RFC 3414 section 2.2: both are on disk before anything is said."""
    first, boots = begin_engine(tmp_path / "new")
    assert boots == 1
    assert 5 <= len(first) <= 32
    assert first[0] & 0x80
    for expected in (2, 3):
        assert begin_engine(tmp_path / "new") == (first, expected)
        assert json.loads((tmp_path / "new" / FILE_NAME).read_text()) == {"engine_id": first.hex(), "boots": expected}
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"engine_id": "zz", "boots": 1}', '{"engine_id": "80", "boots": 1}', '{"boots": -1}']
)
def test_a_damaged_file_gives_another_engine(text: str, tmp_path: Path) -> None:
    """Senders discover it; boots of the old id must never be counted on with an id that was lost."""
    (tmp_path / FILE_NAME).write_text(text)
    engine_id, boots = begin_engine(tmp_path)
    assert (len(engine_id), boots) == (17, 1)


def test_boots_at_their_end_give_another_engine(tmp_path: Path) -> None:
    """RFC 3414 section 2.2.2: at 2147483647 nothing would be authentic any more."""
    old = bytes.fromhex("800000000501020304")
    (tmp_path / FILE_NAME).write_text(json.dumps({"engine_id": old.hex(), "boots": 0x7FFF_FFFE}))
    engine_id, boots = begin_engine(tmp_path)
    assert engine_id != old
    assert boots == 1


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """Without keeping boots no inform may be answered: a restart would accept what was recorded."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be"):
        begin_engine(tmp_path / "file")
