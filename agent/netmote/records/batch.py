"""The union of everything a collector can hand on."""

from typing import TypeAlias

from netmote.records.device import DeviceRecord
from netmote.records.fact import FactBatch
from netmote.records.flow import FlowBatch
from netmote.records.host import HostRecord
from netmote.records.interface import InterfaceBatch

# Each has `source`, `start_ns` and `end_ns`: `end_ns` is the watermark of `source`.
Batch: TypeAlias = FlowBatch | InterfaceBatch | DeviceRecord | HostRecord | FactBatch
