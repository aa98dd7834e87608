"""What the control socket can do. One table, each command a few lines over the daemon's parts."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from netmote.control.server import Handler
from netmote.daemon.forgetting import forget_running
from netmote.daemon.resending import resend
from netmote.daemon.silencing import change_silences
from netmote.records.entity import Entity

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

    async def resending(request: dict[str, Any]) -> dict[str, Any]:
        answer = await resend(daemon.store, request, sinks=[deliver.sink.name for deliver in daemon.delivers])
        daemon.deliveries.wake()
        return answer

    async def accept(request: dict[str, Any]) -> dict[str, Any]:
        await daemon.analyse.accept(Entity.parse(str(request["entity"])))
        return {}

    async def forget(request: dict[str, Any]) -> dict[str, Any]:
        report = await forget_running(daemon, str(request["address"]))
        daemon.survey.note_alerts([])
        return {"report": report.to_document()}

    async def reload(_request: dict[str, Any]) -> dict[str, Any]:
        return {"said": await daemon.reload()}

    async def promote(request: dict[str, Any]) -> dict[str, Any]:
        version = request.get("version")
        return {"said": await daemon.model_changes.promote(str(request["name"]), None if version is None else str(version))}

    async def roll_back(request: dict[str, Any]) -> dict[str, Any]:
        return {"said": await daemon.model_changes.roll_back(str(request["name"]))}

    return {
        "accept": accept,
        "promote": promote,
        "rollback": roll_back,
        "status": status,
        "silence": silencing,
        "unsilence": silencing,
        "reload": reload,
        "forget": forget,
        "resend": resending,
    }
