"""DICOM objects of a result, for a PACS. Their packages are an optional extra: `write` is imported on demand."""

from collections.abc import Callable
from pathlib import Path

from fcdd_runtime.errors import MissingExtraError
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.result import StudyResult
from fcdd_runtime.study.read import Study

WriteDicom = Callable[[StudyResult, Study, Path, Look], tuple[str, ...]]
"""`write_dicom_results` in the module `write`."""


def dicom_writer() -> WriteDicom:
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
    return write_dicom_results
