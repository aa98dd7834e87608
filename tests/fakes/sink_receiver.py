"""What the contract suite asks of each sink: a harness that holds the sink and the real thing it delivers to.

A new sink is one class here below `Receiver` (in a file of its own beside this one) and one line in `sink_receivers.RECEIVERS`.
What a receiver cannot be made to do is False below, and the tests of it are not run for that sink.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from sink_certificates import Authority, Pair

from netmote.sinks.sink import Sink


class Receiver(ABC):
    """A sink, not opened, and the real thing it delivers to, which can be told how to behave. `timeout` is for the sink's own."""

    can_refuse: ClassVar[bool] = False  # it can refuse a whole batch for ever: `refuse()`
    can_refuse_some: ClassVar[bool] = False  # and name the rows: `refuse(ids=...)`
    can_restart: ClassVar[bool] = False  # `restart()`
    can_hang: ClassVar[bool] = True  # `hang()`, and with it `be_slow()`
    hears_beats: ClassVar[bool] = True  # a sign of life arrives: `beats()`

    sink: Sink

    def __init__(self, folder: Path, *, timeout: float) -> None:
        self.folder, self.timeout = folder, timeout

    @abstractmethod
    async def start(self) -> None:
        """Make it ready, and `self.sink` for it."""

    @abstractmethod
    async def stop(self) -> None:
        """Nobody is there any more. Safe twice."""

    @abstractmethod
    async def received(self) -> list[str]:
        """Ids of the alert revisions it has, in order of arrival, duplicates dropped by id."""

    @abstractmethod
    async def fail(self) -> None:
        """Accept nothing, but a later try may work."""

    @abstractmethod
    async def recover(self) -> None:
        """Work again, whatever it was told before."""

    async def hang(self) -> None:
        """Accept connections or bytes, and answer nothing."""
        raise NotImplementedError

    async def be_slow(self) -> None:
        """Accept within the sink's time-out, but late."""
        raise NotImplementedError

    async def refuse(self, *, ids: Sequence[str] | None = None) -> None:
        """Refuse for ever: these, with the reason "poison", or everything."""
        raise NotImplementedError

    async def restart(self) -> None:
        """Stop and start on the same address; what it had acknowledged it still has."""
        raise NotImplementedError

    async def beats(self) -> list[int]:
        """Numbers of the heartbeats it has, the newest last. Where they are not acknowledged, that may be a moment after `beat`."""
        raise NotImplementedError


class TlsReceiver(Receiver):
    """The same over TLS: the server shows a certificate that the test chose, the sink trusts `authority` alone."""

    def __init__(self, folder: Path, *, timeout: float, authority: Authority, certificate: Pair) -> None:
        super().__init__(folder, timeout=timeout)
        self.authority, self.certificate = authority, certificate

    @abstractmethod
    async def present(self, certificate: Pair) -> None:
        """Show another certificate to whoever connects from now on."""


class LocalReceiver(Receiver):
    """One that is a buffer of the kernel: full, it hangs; read, it works again."""

    @abstractmethod
    def collect(self) -> None:
        """Read what has come in, which makes room."""

    async def fail(self) -> None:
        await self.hang()

    async def be_slow(self) -> None:
        await self.hang()
        asyncio.get_running_loop().call_later(self.timeout / 3, self.collect)

    async def recover(self) -> None:
        self.collect()
