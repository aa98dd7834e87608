"""The file sink and its directory, for the contract suite."""

import json
from typing import Any

from sink_receiver import Receiver

from netmote.sinks.file.config import FileConfig
from netmote.sinks.file.sink import FileSink


class FileReceiver(Receiver):
    can_hang = False  # a local file system does not; see test_file_sink for one that is frozen

    async def start(self) -> None:
        self.path = self.folder / "out" / "alerts.jsonl"
        self._aside = self.folder / "aside"
        self.sink = FileSink(FileConfig(type="file", path=self.path, timeout=self.timeout))

    async def stop(self) -> None:
        await self.fail()

    async def fail(self) -> None:
        """A file stands where the directory should be."""
        if self.path.parent.is_dir():
            self.path.parent.rename(self._aside)
        if not self.path.parent.exists():
            self.path.parent.write_text("in the way")

    async def recover(self) -> None:
        self.path.parent.unlink()
        if self._aside.exists():
            self._aside.rename(self.path.parent)

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    async def received(self) -> list[str]:
        return list(dict.fromkeys(line["id"] for line in self._lines() if line["type"].startswith("io.netmote.alert.")))

    async def beats(self) -> list[int]:
        return [line["data"]["number"] for line in self._lines() if line["type"] == "io.netmote.heartbeat.v1"]
