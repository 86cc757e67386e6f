"""DICOM objects of a result, for a PACS. Their packages are an optional extra: `write` is imported on demand."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fcdd_runtime.errors import MissingExtraError
from fcdd_runtime.report.colormap import DEFAULT_LOOK, Look
from fcdd_runtime.result import StudyResult
from fcdd_runtime.study.read import Study

KINDS = {
    "sr": "structured report with scores, state and peaks",
    "region": "segmentation on the source slices, of flagged and review breasts",
    "slices": "colour capture of the slices around the peak",
    "mark": "presentation state with a circle at the peak",
    "overlay": "colour capture of the breast image with its heatmap",
    "map": "heatmap as numbers",
}
"""What can be written, by the word that asks for it."""
MADE_FILE = "dicom_made.json"
"""When each object of a study was made first, by its UID; stays in the folder whatever a later call writes.

What is made again gets the same time, and so the same bytes."""
ALL_REGIONS = "region=all"
"""Asks for the segmentation of every breast, flagged or not."""


@dataclass(frozen=True)
class DicomOptions:
    """Which objects are written, and how."""

    kinds: frozenset[str] = frozenset(KINDS)
    """Keys of `KINDS`."""
    all_regions: bool = False
    """Whether the segmentation of breasts that are not flagged is written too."""
    look: Look = DEFAULT_LOOK
    """Colours of the pictures."""
    created: datetime | None = None
    """When new objects were made; None: the moment at which they are. Their UIDs follow from what they state alone."""


def dicom_options(words: str, look: Look) -> DicomOptions:
    """Parse a choice such as `sr,region`.

    Raises
    ------
    ValueError
        If a word is none of `KINDS` or `region=all`.
    """
    chosen = [word.strip() for word in words.split(",")]
    unknown = [word for word in chosen if word not in KINDS and word != ALL_REGIONS]
    if unknown:
        raise ValueError(f"there is no DICOM object {unknown[0]!r}; give some of {','.join(KINDS)} or {ALL_REGIONS}")
    return DicomOptions(frozenset(word.partition("=")[0] for word in chosen), ALL_REGIONS in chosen, look)


WriteDicom = Callable[[StudyResult, Study, Path, Path], tuple[str, ...]]
"""`write_dicom_results` in the module `write`, with its options."""


def dicom_writer(options: DicomOptions) -> WriteDicom:
    """Return the writer of DICOM objects.

    Raises
    ------
    MissingExtraError
        If highdicom is not installed.
    """
    try:
        from fcdd_runtime.pacs.write import write_dicom_results  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("writing DICOM results needs highdicom: pip install 'fcdd-edge[dicom]'") from error
    return functools.partial(write_dicom_results, options=options)
