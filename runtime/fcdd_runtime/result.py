"""What scoring a study returns: frozen, without any file format. Writers are in `report` and `pacs`."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import ModelContract
from fcdd_runtime.findings import Finding
from fcdd_runtime.volumes.volume import SliceSource

CHOSEN_BY_HAND = "chosen by hand"
"""`PhaseChoice.method` where a person named the phases."""


@dataclass(frozen=True)
class Peak:
    """Where a heatmap is highest, traced back to the voxel that a reader would look at."""

    heatmap_pixel: tuple[int, int]
    """Row and column of the heatmap's maximum, pixels of the network's image."""
    image_pixel: tuple[int, int]
    """Row and column, in the breast image, of the brightest pixel within one map cell of that maximum."""
    patient_mm: tuple[float, float, float]
    """Centre of the voxel that this pixel was projected from: LPS, mm."""
    sop_instance_uid: str
    """SOP Instance UID of that voxel's slice in the post-contrast phase."""
    frame_number: int | None
    """Frame in a multi-frame object, from 1; None in single-frame files."""


@dataclass(frozen=True)
class BreastResult:
    """Score and heatmap of one breast."""

    laterality: str
    """`L` or `R`: the patient's side."""
    score: float
    """Anomaly score, at least 0."""
    flagged: bool | None
    """Whether the score reaches the operating point; None if the model has none."""
    peak: Peak
    image: npt.NDArray[np.uint8]
    """The breast image before resizing: (rows, columns), 0..255, anterior up, the patient's right at the left; where
    the recipe mirrors left breasts, a left one is mirrored, and so are its pixels of `peak`, map and heatmap."""
    pixel_mm: tuple[float, float]
    """Distance of neighbouring rows and of neighbouring columns of `image`, mm."""
    axes: tuple[int, int, int]
    """Which axes of the source slices (0 across them, 1 down their rows, 2 along their columns) lie nearest to the
    head-foot, anterior-posterior and right-left direction. The first was projected; `image` has the others."""
    anomaly_map: npt.NDArray[np.float32]
    """Map as the model gave it: float32 (28, 28), at least 0."""
    heatmap: npt.NDArray[np.float32]
    """Map upsampled to the network's image: float32 (224, 224), at least 0."""
    body: npt.NDArray[np.bool_]
    """(rows, columns) of `image`: False where the recipe cleared air."""
    voxels: npt.NDArray[np.int32]
    """(rows, columns, 3): for each pixel of `image` the slice, row and column of the voxel that it shows, from 0."""
    volume_shape: tuple[int, int, int]
    """Slices, rows and columns of the post-contrast volume that these voxels are of."""
    slices: tuple[SliceSource, ...]
    """Where the slices of that volume came from."""
    reference: str | None = None
    """What the breast was compared with: `other breast`, or the name of a recorded image's file; None if the network
    takes one image."""


@dataclass(frozen=True)
class PhaseChoice:
    """Which volumes were subtracted and how that was found out."""

    pre: str
    """Series number and description, and phase, of the pre-contrast volume."""
    post: str
    """The same of the post-contrast volume."""
    method: str
    """Which DICOM attribute told the phases apart, such as `TemporalPositionIdentifier`; or `CHOSEN_BY_HAND`."""
    count: int
    """Number of phases found."""
    before_contrast: int = 1
    """How many of them lie before contrast for certain; the last of these is the pre-contrast phase. Phases after
    them that may show a beginning uptake are passed over, and a warning names each."""
    rise: float = 0.0
    """Rise of the body's mean signal from the pre-contrast phase to the first with contrast, as a share."""


@dataclass(frozen=True)
class SplitChoice:
    """How left and right, and front and back, were found."""

    method: str
    """`sternum` (valley of the body surface between the breasts), `one breast` (the other side has none), `image
    centre`, `separate series` (each breast has its own), or for a unilateral study `laterality in the headers`,
    `position`, or both joined by `and`."""
    confidence: float
    """0..1: for the sternum, depth of the valley against the height of the lower breast; 0 for the image centre;
    otherwise the share of the evidence (headers, position against x = 0) that says so, which never contradicts."""
    midline_x_mm: float
    """Patient x of the midline, mm; in a unilateral study that of the frame of reference, 0."""
    findings: tuple[Finding, ...] = ()
    """The study's findings contain them."""
    empty_side: str = ""
    """`L` or `R` where a field of view of both shows no breast on that side."""


@dataclass(frozen=True)
class UnusedSeries:
    """A series of the study that was not subtracted."""

    series_instance_uid: str
    number: int | None
    why: str
    """A few words."""


@dataclass(frozen=True)
class StudyResult:
    """All that was found in one study."""

    study_instance_uid: str
    breasts: tuple[BreastResult, ...]
    """In the order R, L, as seen on an axial image; one only in a unilateral study."""
    phases: PhaseChoice
    split: SplitChoice
    contract: ModelContract
    findings: tuple[Finding, ...]
    not_used: tuple[UnusedSeries, ...] = ()
    """In the order of their numbers."""
    inputs: tuple[SliceSource, ...] = ()
    """The slices that were subtracted: before and after contrast, of the right breast and the left where each has
    series of its own."""

    @property
    def exam_score(self) -> float:
        """The larger of the breasts' scores."""
        return max(breast.score for breast in self.breasts)

    @property
    def flagged(self) -> bool | None:
        """Whether any breast reaches the operating point; None if the model has none."""
        flags = [breast.flagged for breast in self.breasts]
        return None if None in flags else any(flags)

    @property
    def review(self) -> tuple[Finding, ...]:
        """The findings for which a person has to look at the study; then its scores alone mean nothing."""
        return tuple(finding for finding in self.findings if finding.to_review)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The other findings."""
        return tuple(finding for finding in self.findings if not finding.to_review)

    @property
    def state(self) -> Literal["scored", "review"]:
        """`review` if a person has to look at the study, `scored` otherwise."""
        return "review" if self.review else "scored"
