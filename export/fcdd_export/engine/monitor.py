"""Progress of a TensorRT build, and ending it: TensorRT asks at every step whether to go on."""

from collections.abc import Callable
from typing import Any

BuildProgress = Callable[[str, int, int], None]
"""Takes the phase's name, the steps that are done, and how many there are."""


class BuildMonitor:
    """Passes a build's steps on, and ends it on whatever that raises, such as the user's interrupt."""

    def __init__(self, library: Any, progress: BuildProgress | None):
        self._progress = progress
        self._raised: BaseException | None = None
        self._steps: dict[str, int] = {}
        self.native = _native(library, self)
        """The library's `IProgressMonitor`; the builder's configuration does not keep it alive."""

    def raise_what_ended_it(self) -> None:
        """Raise what ended the build, if something did: an exception must not pass through TensorRT's own code."""
        if self._raised is not None:
            raise self._raised

    def started(self, phase: str, steps: int) -> None:
        """Note how many steps a phase has."""
        self._steps[phase] = steps

    def stepped(self, phase: str, step: int) -> bool:
        """Pass on that a phase's step, counted from 0, is done, and say whether to go on."""
        try:
            if self._progress is not None and self._raised is None:
                self._progress(phase, step + 1, self._steps.get(phase, step + 1))
        except BaseException as error:  # kept, and raised once TensorRT has returned
            self._raised = error
        return self._raised is None


def _native(library: Any, monitor: BuildMonitor) -> Any:
    class Monitor(library.IProgressMonitor):  # type: ignore[misc]  # the base class is known at run time only
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            monitor.started(phase_name, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            """Nothing: the last step said so."""

        def step_complete(self, phase_name: str, step: int) -> bool:
            return monitor.stepped(phase_name, step)

    return Monitor()
