"""One model version for another, by an operator's word or by what the figures ask for. Decides nothing and swaps nothing itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from netmote.daemon.analysis_view import AnalysisView
from netmote.daemon.model_choice import ChangeRefused, ModelChoice
from netmote.daemon.model_policy import Decision
from netmote.models.config import ModelsConfig
from netmote.models.selection import Selection
from netmote.scoring.detector import Detector

log = logging.getLogger(__name__)

# Loads the bundles by a changed selection, makes it the one in force and begins analysis anew. Raises ChangeRefused.
Swap = Callable[[Callable[[], Selection]], Awaitable[Selection]]


class ModelChanges:
    """Carries out changes, one at a time."""

    def __init__(self, choice: ModelChoice, swap: Swap) -> None:
        self._choice, self._swap = choice, swap
        self._task: asyncio.Task[None] | None = None

    async def promote(self, name: str, version: str | None) -> str:
        """Put another version into use. Raises ChangeRefused; then nothing has changed."""
        return await self._change(lambda: self._choice.promoted(name, version), name)

    async def roll_back(self, name: str) -> str:
        """Put the version before into use again. Raises ChangeRefused; then nothing has changed."""
        return await self._change(lambda: self._choice.rolled_back(name), name)

    def consider(self, group: asyncio.TaskGroup, view: AnalysisView, detectors: Sequence[Detector], config: ModelsConfig) -> None:
        """Begin what the figures of now ask for, unless something is under way."""
        if self._task is not None and not self._task.done():
            return
        decisions = self._choice.decide(view, detectors, config)
        if decisions:
            self._task = group.create_task(self._carry_out(decisions), name="models")

    async def _carry_out(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            extra = {"component": "models", "model": decision.name}
            try:
                if decision.action == "promote":
                    log.warning("%s %s passed its trial: %s", decision.name, decision.version, decision.reason, extra=extra)
                    await self.promote(decision.name, decision.version)
                else:
                    log.error("%s %s is given up: %s", decision.name, decision.version, decision.reason, extra=extra)
                    await self.roll_back(decision.name)
            except ChangeRefused as error:
                log.error("the models stay as they are: %s", error, extra=extra)

    async def _change(self, change: Callable[[], Selection], name: str) -> str:
        selection = await self._swap(change)
        said = f"{name} {selection.choices[name].active} is in use"
        log.info("%s", said, extra={"component": "models", "model": name})
        return said
