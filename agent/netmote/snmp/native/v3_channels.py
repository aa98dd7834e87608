"""What all channels of v3 share: keys, salts, and where their surprises are told. Imported when the first v3 device is opened, since
cryptography weighs 8 MB.
"""

import asyncio
import logging
from collections.abc import Callable
from random import Random

from netmote.snmp.credentials import UsmUser
from netmote.snmp.native.usm.keys import KeyRing
from netmote.snmp.native.usm.privacy import SaltCounter
from netmote.snmp.native.v3_channel import V3Channel

log = logging.getLogger(__name__)


class V3Channels:
    """Opens channels of v3. One per back end."""

    def __init__(self, *, random: Random, monotonic: Callable[[], float]) -> None:
        self._keys, self._salts, self._monotonic = KeyRing(), SaltCounter(random), monotonic

    async def open(self, user: UsmUser, *, device: str) -> V3Channel:
        """A channel with a device, keys derived in a thread. Raises UnsupportedSecurityLevel."""
        await asyncio.to_thread(self._keys.prepare, user)

        def tell(surprise: str) -> None:
            log.warning("%s", surprise, extra={"component": "snmp", "device": device})

        return V3Channel(user, keys=self._keys, salts=self._salts, monotonic=self._monotonic, notice=tell)
