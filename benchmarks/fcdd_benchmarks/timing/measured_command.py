"""`python -m fcdd_benchmarks.timing.measured_command FACTS PROGRAM ARGUMENTS...`: run a command of ours, note its cost.

PROGRAM is a key of `PROGRAMS`. FACTS, a JSON file, gets what `CommandFacts` says; the exit status is the command's.
"""

import contextlib
import dataclasses
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fcdd_benchmarks.timing.memory import forget_peak, peak_resident_mb, resident_mb
from fcdd_benchmarks.timing.stage_clock import Span, StageClock, Watched, replaced
from fcdd_benchmarks.timing.stages import EXPORT_STAGES, SCORE_STAGES, SCORING_STARTS, STUDY_STARTS, WHOLE

BY_STAGE = "by stage"
PROGRAMS: dict[str, tuple[str, str, tuple[Watched, ...]]] = {
    "fcdd-score": ("fcdd_runtime.cli", "score", (SCORING_STARTS, STUDY_STARTS)),
    "fcdd-score by stage": ("fcdd_runtime.cli", "score", SCORE_STAGES),
    "fcdd-export by stage": ("fcdd_export.cli", "main", EXPORT_STAGES),
}
"""Module, function, and what is watched. `fcdd-score` has two watched calls a study, which cost nothing."""


@dataclass(frozen=True)
class CommandFacts:
    """What a run of a command cost."""

    exit_code: int
    output: str
    """The last of what it printed, errors included."""
    process_s: float
    """Wall time of the process, from its start to its end."""
    spans: tuple[Span, ...]
    ready_mb: float
    """Resident memory when everything was imported and opened, MB (1e6 bytes)."""
    over_ready_mb: float
    """Largest resident memory from then on, of the process and its worker, less that."""
    peak_mb: float
    """Largest resident memory of the process and its worker."""

    @property
    def whole(self) -> Span | None:
        """All of it without start and end of the process; None if it did not come so far."""
        return next((span for span in self.spans if span.stage == WHOLE), None)


def measured(program: str, arguments: Sequence[str]) -> CommandFacts:
    """Run a command in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        facts = Path(scratch) / "facts.json"
        command = [sys.executable, "-m", "fcdd_benchmarks.timing.measured_command", str(facts), program, *arguments]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        # A process that was killed, as for its memory, leaves no facts.
        found: dict[str, Any] = {"spans": [], "ready_mb": 0.0, "over_ready_mb": 0.0, "peak_mb": 0.0}
        if facts.exists():
            found = json.loads(facts.read_text(encoding="utf-8"))
    output = (done.stdout + done.stderr).strip()[-2000:]
    spans = tuple(Span(**span) for span in found.pop("spans"))
    return CommandFacts(exit_code=done.returncode, output=output, process_s=seconds, spans=spans, **found)


def main(facts: Path, program: str, arguments: list[str]) -> None:
    """Run the command in this process, write the facts and leave as the command does."""
    module, name, watched = PROGRAMS[program]
    command = getattr(import_module(module), name)
    clock, ready_mb, peak_before_mb, exit_code = StageClock(), 0.0, 0.0, None

    def noting_memory(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            nonlocal ready_mb, peak_before_mb
            ready_mb, peak_before_mb = resident_mb(), peak_resident_mb()
            forget_peak()
            return function(*args, **kwargs)

        return noted

    with contextlib.ExitStack() as stack:
        if program.endswith(BY_STAGE):
            # What a study needs runs in another process, where no clock of this one can watch.
            stack.enter_context(replaced("fcdd_runtime.runs.worker", "Worker.call", _calling_here))
        stack.enter_context(replaced(watched[0].module, watched[0].name, noting_memory))
        stack.enter_context(clock.watching(watched))
        try:
            command.main(arguments, prog_name=program.split(maxsplit=1)[0])
        except SystemExit as end:
            exit_code = end.code
    # A worker begins as a copy of this process; what it holds beyond that is its own.
    worker_mb = max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6 - ready_mb, 0.0)
    peak = peak_resident_mb() + worker_mb
    memory = {"ready_mb": ready_mb, "over_ready_mb": max(peak - ready_mb, 0.0), "peak_mb": max(peak, peak_before_mb)}
    spans = [dataclasses.asdict(span) for span in clock.spans]
    facts.write_text(json.dumps({"spans": spans, **memory}), encoding="utf-8")
    sys.exit(exit_code)


def _calling_here(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, function, *arguments: function(*arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
