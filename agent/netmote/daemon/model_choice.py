"""The versions of the models that are in use: kept over restarts, changed by hand or by what their trial has shown.

A change is written down before it is carried out. Analysis is then begun anew from its checkpoint, as at a reload: no window is lost, and
the model that takes over is armed, because it learned in shadow.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from netmote.analysis.assembly import Assembled
from netmote.daemon.analysis_view import AnalysisView
from netmote.daemon.model_policy import Decision, chosen_of, decide
from netmote.errors import NetmoteError
from netmote.models.config import ModelsConfig
from netmote.models.graph_detector import GraphDetector
from netmote.models.registry import BundleStatus
from netmote.models.selection import FILE_NAME, Selection, SelectionUnreadable, read_selection, write_selection
from netmote.scoring.detector import Detector
from netmote.telemetry.health import Health, Level

log = logging.getLogger(__name__)

COMPONENT = "model_choice"


class ChangeRefused(NetmoteError):
    """The models stay as they are; the message says why."""


class ModelChoice:
    """The selection in force and its file."""

    def __init__(self, state_dir: Path, *, health: Health) -> None:
        self.selection = Selection()
        self._bundles: tuple[BundleStatus, ...] = ()
        self._path = state_dir / FILE_NAME
        self._health = health
        self._decided: set[tuple[str, str, str]] = (
            set()
        )  # since the last change, so that one that was refused is not tried again and again

    def load(self) -> None:
        """Read the file. A damaged one is put aside, and the newest versions are in use; that is said."""
        try:
            self.selection = read_selection(self._path)
        except SelectionUnreadable as error:
            log.error("the choice of models is lost, the newest versions are in use: %s", error, extra={"component": COMPONENT})
            try:
                self._path.replace(self._path.with_suffix(".bad"))
            except OSError as moved:
                log.warning("%s cannot be put aside: %s", self._path, moved.strerror, extra={"component": COMPONENT})

    def note_loaded(self, bundles: Sequence[BundleStatus]) -> None:
        """Bundles were loaded by this selection: what is in use for the first time is chosen from now on."""
        self._bundles = tuple(bundles)
        settled = chosen_of(self.selection, [(bundle.name, bundle.version, bundle.state) for bundle in bundles])
        if settled == self.selection:
            return
        self.selection = settled
        try:
            write_selection(self._path, settled)
        except OSError as error:
            # The next start would choose the same again, so nothing is lost but a trial that could begin later.
            self._health.degrade(COMPONENT, Level.FULL, f"the choice of models is not written down: {error.strerror}")
        else:
            self._health.recover(COMPONENT)

    def promoted(self, name: str, version: str | None) -> Selection:
        """The selection with another version in use: the one named, else the one in shadow. Raises ChangeRefused."""
        bundles = self._bundles
        versions = {bundle.version: bundle for bundle in bundles if bundle.name == name}
        if not versions:
            known = ", ".join(sorted({bundle.name for bundle in bundles})) or "none"
            raise ChangeRefused(f"no model {name!r}; there are: {known}")
        if version is None:
            version = next((bundle.version for bundle in versions.values() if bundle.state == "shadow"), None)
        if version is None:
            raise ChangeRefused(f"{name} has no version in shadow; name one of {', '.join(versions)}")
        if version not in versions:
            raise ChangeRefused(f"{name} has no version {version}; there are: {', '.join(versions)}")
        if versions[version].state == "refused":
            raise ChangeRefused(f"{name} {version} is refused: {versions[version].why}")
        try:
            return self.selection.promoted(name, version)
        except ValueError as error:
            raise ChangeRefused(str(error)) from error

    def rolled_back(self, name: str) -> Selection:
        """The selection with the version before in use again. Raises ChangeRefused."""
        try:
            return self.selection.rolled_back(name)
        except ValueError as error:
            raise ChangeRefused(str(error)) from error

    def accept(self, selection: Selection, assembled: Assembled) -> None:
        """Make a changed selection the one in force, once the bundles were loaded by it and before they are used.

        Raises ChangeRefused when a chosen version does not run, or when the file cannot be written; then nothing has changed.
        """
        for name, choice in selection.choices.items():
            if self.selection.choices.get(name) == choice:
                continue
            found = next((one for one in assembled.bundles if (one.name, one.version) == (name, choice.active)), None)
            if found is None or found.state != "active":
                why = f": {found.why}" if found is not None and found.why else ", it is no longer there" if found is None else ""
                raise ChangeRefused(f"{name} {choice.active} cannot be used{why}")
        try:
            write_selection(self._path, selection)
        except OSError as error:
            raise ChangeRefused(f"{self._path}: {error.strerror}; the models stay as they are") from error
        self.selection, self._bundles = selection, assembled.bundles
        self._decided.clear()

    def decide(self, view: AnalysisView, detectors: Sequence[Detector], config: ModelsConfig) -> tuple[Decision, ...]:
        """What the figures of now ask for, each once."""
        if not any(trial.name in self.selection.choices for trial in view.trials) and not view.failures:
            return ()
        run_times = {}
        for detector in detectors:
            if isinstance(detector, GraphDetector) and (found := detector.run_times.percentiles()) is not None:
                run_times[detector.name] = (detector.run_times.total, found[1])
        decisions = decide(view, self.selection, config, run_times)
        new = tuple(one for one in decisions if (one.action, one.name, one.version) not in self._decided)
        self._decided.update((one.action, one.name, one.version) for one in new)
        return new
