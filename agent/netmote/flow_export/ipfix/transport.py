"""How IPFIX messages travel: the protocol of transports."""

import os
from typing import Protocol


class Transport(Protocol):
    """A way for messages to one collector. Every failure that may pass is raised as `Retryable`; the message may be sent again.

    Life: construct -> `open` (a new transport session: sequence numbers begin anew) -> `send`* -> `close` (safe without open, twice).
    """

    repeats_templates: bool
    """Whether templates can get lost on this way and are therefore sent again and again."""

    async def open(self) -> None: ...

    async def send(self, message: bytes, *, has_templates: bool) -> None: ...

    def check(self) -> None:
        """Ask the kernel, without waiting, whether the collector is known to be gone. Raises Retryable."""
        ...

    async def close(self) -> None: ...


def reason_of(error: OSError) -> str:
    """The system's word for an error; asyncio puts its own sentence in its place."""
    if error.errno is not None and error.errno > 0 and isinstance(error, ConnectionError):
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
