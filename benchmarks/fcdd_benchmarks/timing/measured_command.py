"""`python -m fcdd_benchmarks.timing.measured_command FACTS PROGRAM ARGUMENTS...`: run a command of ours, note its cost.

PROGRAM is a key of `PROGRAMS`. FACTS, a JSON file, gets what `CommandFacts` says; the exit status is the command's.
"""

import dataclasses
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fcdd_benchmarks.timing.memory import forget_peak, peak_resident_mb, resident_mb
from fcdd_benchmarks.timing.stage_clock import Span, StageClock, Watched, replaced
from fcdd_benchmarks.timing.stages import EXPORT_STAGES, SCORE_STAGES, SCORING_STARTS, STUDY_STARTS, WHOLE

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
    """Largest resident memory from then on, less that."""
    peak_mb: float
    """Largest resident memory of the process."""

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
        found = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else _NO_FACTS
    output = (done.stdout + done.stderr).strip()[-2000:]
    spans = tuple(Span(**span) for span in found.pop("spans"))
    return CommandFacts(exit_code=done.returncode, output=output, process_s=seconds, spans=spans, **found)


_NO_FACTS: dict[str, Any] = {"spans": [], "ready_mb": 0.0, "over_ready_mb": 0.0, "peak_mb": 0.0}


def main(facts: Path, program: str, arguments: list[str]) -> None:
    """Run the command in this process, write the facts and leave as the command does."""
    module, name, watched = PROGRAMS[program]
    command = getattr(import_module(module), name)
    clock, memory = StageClock(), _Memory()
    with memory.noting_when_ready(watched[0]), clock.watching(watched):
        exit_code = _exit_code(lambda: command.main(arguments, prog_name=program.split(maxsplit=1)[0]))
    spans = [dataclasses.asdict(span) for span in clock.spans]
    facts.write_text(json.dumps({"spans": spans, **memory.facts()}), encoding="utf-8")
    sys.exit(exit_code)


def _exit_code(run: Callable[[], object]) -> str | int | None:
    try:
        run()
    except SystemExit as end:
        return end.code
    return 0


@dataclass
class _Memory:
    ready_mb: float = 0.0
    peak_before_mb: float = 0.0

    @contextmanager
    def noting_when_ready(self, first: Watched) -> Iterator[None]:
        """Take the memory when a function begins."""

        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def noted(*args: Any, **kwargs: Any) -> Any:
                self.ready_mb, self.peak_before_mb = resident_mb(), peak_resident_mb()
                forget_peak()
                return function(*args, **kwargs)

            return noted

        with replaced(first.module, first.name, wrap):
            yield

    def facts(self) -> dict[str, float]:
        peak = peak_resident_mb()
        over = max(peak - self.ready_mb, 0.0)
        return {"ready_mb": self.ready_mb, "over_ready_mb": over, "peak_mb": max(peak, self.peak_before_mb)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
