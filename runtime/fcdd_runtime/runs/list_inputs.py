"""`fcdd-score --list`: what is in the inputs, and what would be used."""

from collections.abc import Callable
from pathlib import Path

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.files import scratch_folder
from fcdd_runtime.redaction import for_terminal
from fcdd_runtime.runs.tasks import list_input
from fcdd_runtime.runs.worker import Worker

SOME_FAILED, NONE_USABLE = 1, 2


def list_inputs(
    inputs: tuple[Path, ...],
    recipe: MipRecipe,
    worker: Worker,
    say: Callable[[str], None],
    complain: Callable[[str], None],
) -> int:
    """Print a table a study, and what speaks against scoring it; return the exit code."""
    failed = 0
    for number, path in enumerate(inputs, start=1):
        with scratch_folder("fcdd-score") as scratch:
            try:
                studies = worker.call(list_input, path, scratch, recipe)
            except (StudyError, OSError) as error:
                failed += 1
                why = f"the input cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
                complain(f"Error: input {number}: {for_terminal(why, {})}")
                continue
        for study_number, study in enumerate(studies, start=1):
            say(f"input {number}" + (f", study {study_number}" if len(studies) > 1 else ""))
            for line in study.lines:
                say(f"  {line}")
            for sentence in study.doubts:
                say(f"  ! {for_terminal(sentence, {})}")
    return 0 if not failed else NONE_USABLE if failed == len(inputs) else SOME_FAILED
