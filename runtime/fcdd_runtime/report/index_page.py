"""Many results -> one HTML page for triage: flagged first, then by score, with search and keys to go through it.

The page needs no network and no other file but the reports that it links to; its thumbnails are inside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from fcdd_runtime.files import replaced_file
from fcdd_runtime.report.look import DEFAULT_LOOK, Look
from fcdd_runtime.report.markup import Html, filled, joined, page_file
from fcdd_runtime.report.overlay import SIDES, blended_image
from fcdd_runtime.report.pages import data_uri, script_hash
from fcdd_runtime.report.study_page import STATES, score_text
from fcdd_runtime.report.write import study_folder_name
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

_THUMBNAIL_SIDE = 88
"""Longer side, pixels: about 2 kB each, so that a thousand studies stay below 10 MB."""


@dataclass(frozen=True)
class BreastEntry:
    """One breast of a row."""

    laterality: str
    """`L` or `R`: the patient's side."""
    score: float
    thumbnail: str
    """Breast with its heatmap, small: the text of a `src` attribute."""


@dataclass(frozen=True)
class IndexEntry:
    """One study that was scored."""

    study: str
    """Folder of the study beside the page, which holds its `report.html`."""
    study_instance_uid: str
    exam_score: float
    flagged: bool | None
    """None if the model has no operating point."""
    warnings: int
    """How many there are in the report."""
    breasts: tuple[BreastEntry, ...]


@dataclass(frozen=True)
class FailedEntry:
    """One input or study that was not scored, and so has to be read like any other."""

    label: str
    """What a user knows it by."""
    reason: str
    """One sentence."""


def index_entry(result: StudyResult, look: Look = DEFAULT_LOOK) -> IndexEntry:
    """Return a study's row of the index; it holds small pictures only, so that many fit in memory."""
    return IndexEntry(
        study=study_folder_name(result.study_instance_uid),
        study_instance_uid=result.study_instance_uid,
        exam_score=float(result.exam_score),
        flagged=None if result.flagged is None else bool(result.flagged),
        warnings=len(result.warnings) + len(result.contract.notes),
        breasts=tuple(
            BreastEntry(breast.laterality, float(breast.score), _thumbnail(breast, result, look))
            for breast in result.breasts
        ),
    )


def write_index(rows: Sequence[IndexEntry | FailedEntry], path: Path) -> None:
    """Write the index page, in one step.

    Order: flagged studies, those that were not scored, then all others; within each by falling score.
    """
    with replaced_file(path) as fresh:
        fresh.write_text(_index_page(sorted(rows, key=_urgency)), encoding="utf-8", errors="replace")


def _urgency(row: IndexEntry | FailedEntry) -> tuple[int, float, str]:
    if isinstance(row, FailedEntry):
        return 1, 0.0, row.label
    return 0 if row.flagged else 2, -row.exam_score, row.study


def _thumbnail(breast: BreastResult, result: StudyResult, look: Look) -> str:
    picture = blended_image(breast, result.contract, look)
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    return data_uri(picture, "jpeg")


def _index_page(rows: Sequence[IndexEntry | FailedEntry]) -> Html:
    script = page_file("index.js")
    scored = [row for row in rows if isinstance(row, IndexEntry)]
    largest = max((row.exam_score for row in scored), default=0.0)
    values = {
        "style": Html(page_file("index.css")),
        "script": Html(script),
        "script_hash": script_hash(script),
        "intended_use": INTENDED_USE,
        "software": f"{NAME} {software_version()}",
        "total": str(len(rows)),
        "counts": _counts(rows),
        "rows": joined(_row(row, largest) for row in rows),
    }
    return filled("index.html.template", values)


def _counts(rows: Sequence[IndexEntry | FailedEntry]) -> Html:
    states = [_state(row) for row in rows]
    return joined(
        filled(
            "index_count.html.template",
            {"state": state, "shape": shape, "words": words, "count": str(states.count((state, words, shape)))},
        )
        for state, words, shape in dict.fromkeys(states)
    )


def _state(row: IndexEntry | FailedEntry) -> tuple[str, str, str]:
    """Style class, words, and a shape that says the same without colour."""
    return ("failed", "Not scored", "✕") if isinstance(row, FailedEntry) else STATES[row.flagged]


def _row(row: IndexEntry | FailedEntry, largest: float) -> Html:
    state, words, shape = _state(row)
    values = {"state": state, "words": words, "shape": shape}
    if isinstance(row, FailedEntry):
        return filled("index_failed.html.template", {**values, "label": row.label, "reason": row.reason})
    return filled(
        "index_row.html.template",
        {
            **values,
            "study": row.study,
            "link": f"{quote(row.study)}/report.html",
            "study_instance_uid": row.study_instance_uid,
            "score": score_text(row.exam_score),
            "score_full": repr(row.exam_score),
            "percent": f"{100 * row.exam_score / largest if largest > 0 else 0:.2f}",
            "warnings": _warnings(row.warnings),
            "breasts": joined(_breast(breast) for breast in row.breasts),
        },
    )


def _warnings(count: int) -> str:
    return "" if count == 0 else f"⚠ {count} warning{'s' if count > 1 else ''}"


def _breast(breast: BreastEntry) -> Html:
    values = {
        "laterality": breast.laterality,
        "side": SIDES[breast.laterality],
        "score": score_text(breast.score),
        "thumbnail": breast.thumbnail,
    }
    return filled("index_breast.html.template", values)
