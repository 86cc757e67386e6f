"""`fcdd-score --list`: what is in the inputs, and what would be used."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.listing import COLUMNS, in_columns, list_study
from fcdd_runtime.redaction import for_terminal
from fcdd_runtime.study.read import read_studies

SOME_FAILED, NONE_USABLE = 1, 2


def list_inputs(
    inputs: tuple[Path, ...], recipe: MipRecipe, say: Callable[[str], None], complain: Callable[[str], None]
) -> int:
    """Print a table a study, and what speaks against scoring it; return the exit code."""
    failed = 0
    for number, path in enumerate(inputs, start=1):
        with tempfile.TemporaryDirectory(prefix="fcdd-score-") as scratch:
            try:
                studies, notes = read_studies(path, Path(scratch))
            except StudyError as error:
                failed += 1
                complain(f"Error: input {number}: {for_terminal(str(error), {})}")
                continue
            for study_number, study in enumerate(studies, start=1):
                listing = list_study(study, recipe)
                say(f"input {number}" + (f", study {study_number}" if len(studies) > 1 else ""))
                for line in in_columns([COLUMNS, *listing.rows]):
                    say(f"  {line}")
                for sentence in (*notes, *listing.doubts):
                    say(f"  ! {for_terminal(sentence, {})}")
    return 0 if not failed else NONE_USABLE if failed == len(inputs) else SOME_FAILED
