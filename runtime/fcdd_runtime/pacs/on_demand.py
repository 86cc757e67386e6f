"""The door to `dicom_result`, whose packages are an optional extra."""

from collections.abc import Callable
from pathlib import Path

from fcdd_runtime.errors import MissingExtraError
from fcdd_runtime.report.colormap import Look
from fcdd_runtime.result import StudyResult
from fcdd_runtime.study.read import Study

WriteDicom = Callable[[StudyResult, Study, Path, Look], tuple[str, ...]]


def dicom_writer() -> WriteDicom:
    """Return `dicom_result.write_dicom_results`.

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
