"""The collector of the chaos run: commits before it answers, refuses what is poisonous, and loses some of its answers.

    python tests/fakes/chaos_collector.py --port P --database FILE --seed N

A batch with an event that says `poison-batch` is refused whole (400); one that says `poison-row` is named and the others are
accepted (207). After one commit in ten the connection breaks before the answer, so that the batch comes again.
"""

import argparse
import asyncio
import json
import random
import signal
from pathlib import Path

from aiohttp import web
from collector import Collector

_LOST_ANSWERS = 0.1


class ChaosCollector(Collector):
    """One that goes wrong by a seed."""

    def __init__(self, database: Path, *, port: int, seed: int) -> None:
        super().__init__(database, port=port)
        self._random = random.Random(seed)

    async def _post(self, request: web.Request) -> web.Response:
        events = json.loads(await request.read())
        texts = [json.dumps(event) for event in events]
        if any("poison-batch" in text for text in texts):
            return web.Response(status=400, text="poison somewhere in it")
        rejected = [event["id"] for event, text in zip(events, texts, strict=True) if "poison-row" in text]
        self.commit([event for event in events if event["id"] not in rejected])
        if self._random.random() < _LOST_ANSWERS and request.transport is not None:
            request.transport.abort()
        if rejected:
            return web.json_response({"rejected": [{"id": each, "reason": "poison"} for each in rejected]}, status=207)
        return web.Response(status=204)


async def _serve(database: Path, port: int, seed: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with ChaosCollector(database, port=port, seed=seed):
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.database, arguments.port, arguments.seed))
