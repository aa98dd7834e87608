"""Whether the device that answers is the one that answered before. Pure.

A device is its configured name, until the device itself says otherwise: by another serial number of its chassis (ENTITY-MIB), or, where
it tells none, by another engine id (RFC 3411 section 5, read from v1 and v2c agents too) together with hardware addresses of which none
was there before. An engine id alone proves nothing: agents in containers make a new one at every start. What is not told now leaves what
was told before in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from netmote.snmp.reading import DeviceReading


@dataclass(slots=True)
class DeviceIdentity:
    """Who a device said it was, last."""

    serial: str = ""
    engine_id: bytes = b""
    addresses: frozenset[str] = frozenset()

    @property
    def described(self) -> str:
        """For people: what it is known by."""
        return f"serial {self.serial}" if self.serial else f"engine {self.engine_id.hex()}" if self.engine_id else ""

    def observe(self, reading: DeviceReading) -> Mapping[str, str]:
        """Take in a reading. Returns what says that it is another device, as annotations; empty when nothing does."""
        serial, engine_id = reading.system.serial, reading.system.engine_id
        addresses = frozenset(reading.ports.if_phys_address) - {""}
        told: dict[str, str] = {}
        if serial and self.serial:
            if serial != self.serial:
                told = {"earlier_serial": self.serial, "serial": serial}
        elif (
            engine_id != self.engine_id
            and all((engine_id, self.engine_id, addresses, self.addresses))
            and addresses.isdisjoint(self.addresses)
        ):
            told = {"earlier_engine_id": self.engine_id.hex(), "engine_id": engine_id.hex()}
        if told:
            self.serial, self.engine_id, self.addresses = serial, engine_id, addresses
        else:
            self.serial, self.engine_id = serial or self.serial, engine_id or self.engine_id
            self.addresses = addresses or self.addresses
        return told
