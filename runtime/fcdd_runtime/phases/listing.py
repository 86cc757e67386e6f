"""What is in a study, for a person who chooses: a row a series and phase, what it was used as, or why it was not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fcdd_runtime.contract import MipRecipe
from fcdd_runtime.errors import StudyError
from fcdd_runtime.phases.choose import split_phases
from fcdd_runtime.phases.dynamics import Phase, phases_of, ruled_out_stacks_of, stacks_of
from fcdd_runtime.phases.left_out import why_stack_unused
from fcdd_runtime.phases.order import earliest
from fcdd_runtime.study import phase_attributes
from fcdd_runtime.study.patient import check_one_patient
from fcdd_runtime.study.read import Study

COLUMNS = ("choose as", "slices", "matrix", "spacing mm", "told apart by", "used as, or why not")


@dataclass(frozen=True)
class Listing:
    """A study as a table."""

    rows: tuple[tuple[str, ...], ...]
    """Texts of `COLUMNS`; no free text of the headers."""
    doubts: tuple[str, ...]
    """Why it would be put to review, or why it cannot be scored: one sentence each."""


def list_study(study: Study, recipe: MipRecipe) -> Listing:
    """List all series and phases of a study, and what the reader would make of them."""
    used: dict[str, str] = {}
    pairs: tuple[Phase, ...] = ()
    try:
        same_patient = check_one_patient(study.patients)
        phases = split_phases(study, recipe)
    except StudyError as error:
        doubts: tuple[str, ...] = (str(error),)
    else:
        found = (*same_patient, *phases.findings)
        doubts = tuple(finding.sentence for finding in found if finding.to_review)
        pairs = phases.subtracted
        used = {
            phase.name: "pre-contrast" if number % 2 == 0 else "post-contrast" for number, phase in enumerate(pairs)
        }
    rows = []
    for series in study.series:
        number = "without number" if series.number is None else str(series.number)
        stacks = [*stacks_of(series), *ruled_out_stacks_of(series)]
        if not stacks:
            rows.append((number, str(len(series.slices)), "", "", "", "does not say where it lies"))
        for stack in stacks:
            why = why_stack_unused(stack, pairs)
            for count, phase in enumerate(phases_of(stack), start=1):
                rows.append((f"{number}/{count}", *_facts(phase), used.get(phase.name, why)))
    return Listing(tuple(rows), doubts)


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines in which the texts of each column begin below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _facts(phase: Phase) -> tuple[str, str, str, str]:
    first = phase.slices[0]
    plane, pixels = first.plane, first.pixels
    matrix = "" if pixels is None else f"{pixels.rows} x {pixels.columns}"
    spacing = ""
    if plane is not None:
        spacing = " x ".join(f"{np.linalg.norm(step):.2f}" for step in (plane.row_step_mm, plane.column_step_mm))
    values = []
    for attribute in phase_attributes.TABLE:
        value = earliest(phase.slices, attribute)
        if value is not None:
            values.append(f"{first.name_of(attribute)} {_shown(value, attribute.unit)}")
    return str(len(phase.slices)), matrix, spacing, ", ".join(values[:2])


def _shown(value: float, unit: str) -> str:
    """Write a number, or a time without its day."""
    if unit != "time of day":
        return f"{value:g}" + (" s" if unit in ("ms", "s") else "")
    seconds = value % 86400
    return f"{int(seconds // 3600):02d}:{int(seconds // 60) % 60:02d}:{seconds % 60:04.1f}"
