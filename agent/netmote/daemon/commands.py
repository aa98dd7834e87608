"""What the control socket can do. One table, each command a few lines over the daemon's parts."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from netmote.control.server import Handler
from netmote.daemon.silencing import change_silences

if TYPE_CHECKING:
    from netmote.daemon.lifecycle import Daemon


def commands(daemon: "Daemon") -> dict[str, Handler]:
    """Name to handler."""

    async def status(_request: dict[str, Any]) -> dict[str, Any]:
        await daemon.survey.refresh()
        snapshot = daemon.survey.snapshot()
        return {"snapshot": await asyncio.to_thread(lambda: json.loads(snapshot.to_json()))}

    async def silencing(request: dict[str, Any]) -> dict[str, Any]:
        answer = await change_silences(daemon.store, str(request["command"]), request, clock=daemon.clock)
        daemon.analyse.analysis.silence(await daemon.store.silences())
        return answer

    async def reload(_request: dict[str, Any]) -> dict[str, Any]:
        return {"said": await daemon.reload()}

    return {"status": status, "silence": silencing, "unsilence": silencing, "reload": reload}
