"""DICOM breast MRI study -> FCDD anomaly scores and heatmaps. Research use only, not a medical device.

studies, notes = read_studies(Path("study"), scratch)
with open_url("grpc://127.0.0.1:8001/fcdd_fp16") as backend:    # or open_folder(Path("triton_repo/fcdd_fp16"))
    result = score_study(studies[0], backend)
write_study_report(result, Path("out"))
"""

import os

# ONNX Runtime reports each process to its maker unless this is set before its first import. Nothing leaves a hospital.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.fake import FakeBackend
from fcdd_runtime.backends.golden import read_golden, self_test
from fcdd_runtime.contract import MipRecipe, ModelContract, read_contract
from fcdd_runtime.errors import FcddError
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.report.write import write_study_report
from fcdd_runtime.result import BreastResult, StudyResult
from fcdd_runtime.score_study import score_study
from fcdd_runtime.study.read import Study, read_studies

__all__ = [
    "Backend",
    "BreastResult",
    "FakeBackend",
    "FcddError",
    "MipRecipe",
    "ModelContract",
    "Study",
    "StudyResult",
    "open_folder",
    "open_url",
    "read_contract",
    "read_golden",
    "read_studies",
    "score_study",
    "self_test",
    "upsample",
    "write_study_report",
]
