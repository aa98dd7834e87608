"""The file sink: JSON lines, written in a thread, delivered when the kernel or the disk has them."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from netmote.alerts.alert import Committed
from netmote.errors import Retryable
from netmote.sinks.alert_document import encode
from netmote.sinks.cloudevents import encode_event, encode_heartbeat
from netmote.sinks.ecs import encode_ecs
from netmote.sinks.eve_alert import encode_eve_alert
from netmote.sinks.file.config import FileConfig
from netmote.sinks.file.line_file import LineFile
from netmote.sinks.ocsf import detection_finding
from netmote.telemetry.heartbeat import Heartbeat


def _encode_ocsf(committed: Committed) -> bytes:
    return encode(detection_finding(committed))


_FORMATS: Mapping[str, Callable[[Committed], bytes]] = {
    "cloudevents": encode_event,
    "ocsf": _encode_ocsf,
    "eve": encode_eve_alert,
    "ecs": encode_ecs,
}


class FileSink:
    """Appends alerts to a file. See `netmote.sinks.sink.Sink` for its life."""

    def __init__(self, config: FileConfig) -> None:
        self.name = config.name
        self._config = config
        self._encode = _FORMATS[config.format]
        self._file = LineFile(config.path, max_size=config.max_size, max_files=config.max_files, is_synced=config.sync == "batch")
        # A thread cannot be cancelled: what a batch that was given up still does, the next one waits for.
        self._under_way: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Nothing: the file is opened by the first batch, where a failure has its message."""

    async def deliver(self, batch: Sequence[Committed]) -> None:
        lines = []
        for committed in batch:
            lines.append(self._encode(committed))
            await asyncio.sleep(0)  # the loop gets its turn after each line
        if lines:
            await self._in_thread(lambda: self._file.write(b"\n".join([*lines, b""])))

    async def beat(self, heartbeat: Heartbeat) -> None:
        if self._config.format == "cloudevents":
            line = encode_heartbeat(heartbeat) + b"\n"
            await self._in_thread(lambda: self._file.write(line))

    async def close(self) -> None:
        with contextlib.suppress(Retryable):  # of what is not on the disk by now, nothing was promised
            await self._in_thread(self._file.close)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(self._config.timeout):
                if self._under_way is not None:
                    await asyncio.wait([self._under_way])
                self._under_way = asyncio.get_running_loop().run_in_executor(None, work)
                self._under_way.add_done_callback(_look_at)
                await asyncio.shield(self._under_way)
        except TimeoutError as error:
            raise Retryable(f"{self._config.path}: the file system has not answered within {self._config.timeout:g} s") from error
        except OSError as error:
            raise Retryable(f"{self._config.path}: {error.strerror or error}") from error


def _look_at(done: asyncio.Future[None]) -> None:
    """The failure of a batch that nobody waits for any more is not lost: that batch comes again."""
    if not done.cancelled():
        done.exception()
