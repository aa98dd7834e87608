"""Our own SNMP engine: its id, and how often it was started (RFC 3414 section 2.2). Kept under the state directory.

Who sends an inform checks against these that we are who answered before, and that nothing is played again: the id stays, and boots
rises with every start, before the first message goes out. A file that cannot be read, or boots at its end, gives a new id.
"""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from netmote.durable_file import replace_durably
from netmote.errors import Unavailable

log = logging.getLogger(__name__)

FILE_NAME: Final = "snmp-engine.json"
_LAST_BOOTS: Final = 0x7FFF_FFFF - 1  # the number after it means that nothing is authentic any more (RFC 3414 section 2.2.2)
# SnmpEngineID (RFC 3411 section 5): enterprise number with its first bit set, format, octets. 0 is reserved by IANA: netmote has none.
_ID_HEAD: Final = bytes((0x80, 0, 0, 0, 5))
_ID_RANDOM_OCTETS = 12


def begin_engine(state_dir: Path, *, random_octets: Callable[[int], bytes] = os.urandom) -> tuple[bytes, int]:
    """The engine id and its boots for this start; both are on disk when it returns. Blocks. Raises Unavailable."""
    path = state_dir / FILE_NAME
    engine_id, boots = _read(path)
    if not engine_id or boots >= _LAST_BOOTS:
        engine_id, boots = _ID_HEAD + random_octets(_ID_RANDOM_OCTETS), 0
    boots += 1
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        replace_durably(path, json.dumps({"engine_id": engine_id.hex(), "boots": boots}).encode(), mode=0o600)
    except OSError as error:
        raise Unavailable(f"the engine id for SNMPv3 informs cannot be kept in {path}: {error}") from error
    return engine_id, boots


def _read(path: Path) -> tuple[bytes, int]:
    """What is there; nothing and 0 for a first start or a damaged file."""
    try:
        document = json.loads(path.read_text())
        engine_id, boots = bytes.fromhex(document["engine_id"]), document["boots"]
        if not 5 <= len(engine_id) <= 32 or not isinstance(boots, int) or boots < 0:
            raise ValueError("out of range")
    except FileNotFoundError:
        return b"", 0
    except OSError as error:
        raise Unavailable(f"the engine id for SNMPv3 informs cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        log.warning(
            "the file of our SNMP engine is damaged: a new engine id, senders of informs find it out by themselves",
            extra={"component": "snmp_notifications", "path": str(path), "error": str(error)},
        )
        return b"", 0
    return engine_id, boots
