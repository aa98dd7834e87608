"""A small real upstream: takes CloudEvents batches over HTTP, commits them to SQLite, then answers.

As a process: `python tests/fakes/collector.py --port P --database FILE`; prints `listening on URL` once it does. In a test:
`async with Collector(database) as collector: ... collector.url`.

POST /        a batch (or one event); 204 when all are committed, duplicates by (source, id) are ignored
GET  /events  every event, in order of arrival
GET  /count   {"events": distinct, "received": with duplicates, "requests": POSTs}
POST /behave  {"status": 503, "headers": {}, "body": "", "delay": seconds, "times": N, "reject": [ids]}: how the next N POSTs fare
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sqlite3
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS event (
    position INTEGER PRIMARY KEY, source TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (source, id)
) STRICT;
CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO tally VALUES ('received', 0), ('requests', 0);
"""


@dataclass
class Behaviour:
    """What happens to POSTs instead of acceptance. `reject` alone answers 207 and commits the others."""

    status: int = 0  # 0: accept
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    delay: float = 0.0  # seconds before the answer
    times: int = 1  # -1: until told otherwise
    reject: list[str] = field(default_factory=list)


class Collector:
    """One listening collector over one database file; may be stopped and started again on the same port."""

    def __init__(
        self, database: Path, *, address: str = "127.0.0.1", port: int = 0, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.port = port
        self.requests: list[dict[str, str]] = []  # headers of the POSTs of this run
        self._behaviour = Behaviour()
        self.ssl_context = ssl_context
        self._runner: web.AppRunner | None = None
        self._database = sqlite3.connect(database, isolation_level=None)
        self._database.executescript(_SCHEMA)

    @property
    def url(self) -> str:
        return f"{'https' if self.ssl_context else 'http'}://{self.address}:{self.port}/"

    def behave(self, **changes: Any) -> None:
        """Let the next POSTs fare differently; see `Behaviour`."""
        self._behaviour = Behaviour(**changes)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for (body,) in self._database.execute("SELECT body FROM event ORDER BY position")]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def tally(self) -> dict[str, int]:
        (events,) = self._database.execute("SELECT count(*) FROM event").fetchone()
        return {"events": events, **dict(self._database.execute("SELECT name, value FROM tally"))}

    async def start(self) -> None:
        # An alert is at most 64 KiB and a batch at most 1,000.
        application = web.Application(client_max_size=64 * 2**20)
        application.add_routes(
            [
                web.post("/", self._post),
                web.get("/events", self._list),
                web.get("/count", self._count),
                web.post("/behave", self._behave),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, self.port, ssl_context=self.ssl_context)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()
        self._database.close()

    def commit(self, events: list[dict[str, Any]]) -> None:
        """Durable when this returns."""
        with self._transaction():
            self._database.execute("UPDATE tally SET value = value + ? WHERE name = 'received'", (len(events),))
            self._database.execute("UPDATE tally SET value = value + 1 WHERE name = 'requests'")
            self._database.executemany(
                "INSERT OR IGNORE INTO event (source, id, body) VALUES (?, ?, ?)",
                [(event["source"], event["id"], json.dumps(event)) for event in events],
            )

    @contextlib.contextmanager
    def _transaction(self):
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    async def _post(self, request: web.Request) -> web.Response:
        # aiohttp has already undone Content-Encoding.
        self.requests.append({**request.headers})
        try:
            document = await request.json()
            events = document if isinstance(document, list) else [document]
            for event in events:
                if event["specversion"] != "1.0" or not all(event[name] for name in ("id", "source", "type")):
                    raise ValueError("not a CloudEvent 1.0")
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        behaviour = self._behaviour
        if behaviour.times == 0:
            behaviour = Behaviour()
        elif behaviour.times > 0:
            self._behaviour.times -= 1
        await asyncio.sleep(behaviour.delay)
        if behaviour.status:
            return web.Response(status=behaviour.status, headers=behaviour.headers, text=behaviour.body)
        self.commit([event for event in events if event["id"] not in behaviour.reject])
        rejected = [{"id": event["id"], "reason": "poison"} for event in events if event["id"] in behaviour.reject]
        return web.json_response({"rejected": rejected}, status=207) if rejected else web.Response(status=204)

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(self.events)

    async def _count(self, _request: web.Request) -> web.Response:
        return web.json_response(self.tally())

    async def _behave(self, request: web.Request) -> web.Response:
        self.behave(**await request.json())
        return web.Response(status=204)


async def serve(address: str, port: int, database: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with Collector(database, address=address, port=port) as collector:
        print(f"listening on {collector.url}", flush=True)
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A collector of CloudEvents that commits before it answers.")
    parser.add_argument("--port", type=int, default=0, help="TCP port; 0 takes any free one")
    parser.add_argument("--address", default="127.0.0.1", help="where it listens; another address only in a namespace of its own")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file; kept across restarts")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.address, arguments.port, arguments.database))
