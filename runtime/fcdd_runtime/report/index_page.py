"""Many results -> one HTML page for triage: flagged first, then to review, with search and keys to go through it.

The page needs no network and no other file but the reports that it links to; its thumbnails are inside it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fcdd_runtime.files import replaced_file
from fcdd_runtime.findings import KINDS
from fcdd_runtime.report.colormap import DEFAULT_LOOK, Look
from fcdd_runtime.report.overlay import blended_image
from fcdd_runtime.report.pages import RESULT_PAGES, data_uri
from fcdd_runtime.report.words import NOT_SCORED, State, state_of
from fcdd_runtime.report.write import study_folder_name
from fcdd_runtime.result import BreastResult, StudyResult

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
    review: tuple[str, ...]
    """Codes of the findings that put it to review."""
    notes: int
    """How many notes there are in the report."""
    breasts: tuple[BreastEntry, ...]

    @property
    def state(self) -> State:
        """What the page shows it as."""
        return state_of(self.flagged, to_review=bool(self.review))


@dataclass(frozen=True)
class FailedEntry:
    """One input or study that was not scored, and so has to be read like any other."""

    label: str
    """What a user knows it by."""
    reason: str
    """One sentence."""

    @property
    def state(self) -> State:
        """What the page shows it as."""
        return NOT_SCORED


def index_entry(result: StudyResult, look: Look = DEFAULT_LOOK) -> IndexEntry:
    """Return a study's row of the index; it holds small pictures only, so that many fit in memory."""

    def thumbnail(breast: BreastResult) -> str:
        picture = blended_image(breast, result.contract, look)
        picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
        return data_uri(picture, "jpeg")

    return IndexEntry(
        study=study_folder_name(result.study_instance_uid),
        study_instance_uid=result.study_instance_uid,
        exam_score=float(result.exam_score),
        flagged=None if result.flagged is None else bool(result.flagged),
        review=tuple(dict.fromkeys(finding.code for finding in result.review)),
        notes=len(result.notes) + len(result.contract.notes),
        breasts=tuple(
            BreastEntry(breast.laterality, float(breast.score), thumbnail(breast)) for breast in result.breasts
        ),
    )


def write_index(rows: Sequence[IndexEntry | FailedEntry], path: Path) -> None:
    """Write the index page, in one step.

    Order: flagged studies, in review or not; those to review, whose scores may hide something; those that were not
    scored, which are read like any other; then all others. Within each by falling score.
    """

    def urgency(row: IndexEntry | FailedEntry) -> tuple[int, float, str]:
        if isinstance(row, FailedEntry):
            return 2, 0.0, row.label
        return 0 if row.flagged else 1 if row.review else 3, -row.exam_score, row.study

    ordered = sorted(rows, key=urgency)
    page = RESULT_PAGES.get_template("index_page.html").render(
        rows=ordered,
        kinds=KINDS,
        counts=Counter(row.state for row in ordered),
        largest=max((row.exam_score for row in ordered if isinstance(row, IndexEntry)), default=0.0),
    )
    with replaced_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8", errors="replace")
