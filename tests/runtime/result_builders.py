"""Results made by hand, for tests of what is written from them."""

import dataclasses
from typing import Any

import numpy as np

from fcdd_runtime.contract import (
    SCHEMA_VERSION,
    Display,
    EngineSource,
    MipRecipe,
    ModelContract,
    OperatingPoint,
    Resize,
    Upsampling,
)
from fcdd_runtime.result import BreastResult, Peak, PhaseChoice, SplitChoice, StudyResult
from fcdd_runtime.volumes.volume import SliceSource

SIZE = 224
SQUASH = Resize("squash", SIZE, SIZE)
POINT = OperatingPoint(0.4, 0.97, "held-out breasts")


def make_contract(**changes: Any) -> ModelContract:
    contract = ModelContract(
        schema_version=SCHEMA_VERSION,
        name="fcdd_fp16",
        network="FCDD_CNN224",
        objective="fcdd",
        inputs=("mip",),
        resize=SQUASH,
        recipe=MipRecipe(),
        map_shape=(28, 28),
        map_kind="fcdd",
        upsampling=Upsampling(8, 68, 3.5, 8.0),
        display=Display(0.97, (0.25, 2.0)),
        operating_point=POINT,
        precision="fp16",
        target="python",
        artefact="1/model.onnx",
        max_batch_size=32,
        mean=(0.2, 0.2, 0.2),
        std=(0.1, 0.1, 0.1),
        snapshot_sha256="ab" * 32,
        artefact_sha256="cd" * 32,
        engine_source=EngineSource("model.onnx", "golden.npz", "ef" * 32),
        versions={"torch": "2.13.0"},
    )
    return dataclasses.replace(contract, **changes)


def make_breast(laterality: str = "R", **changes: Any) -> BreastResult:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    blob = np.exp(-((rows - 80) ** 2 + (columns - 120) ** 2) / 800).astype(np.float32)
    breast = BreastResult(
        laterality=laterality,
        score=float(np.float32(0.3)),
        flagged=False,
        peak=Peak((80, 120), (50, 70), (-52.4, -31.0, 12.5), "1.2.3.4", None),
        image=np.random.default_rng(3).integers(0, 256, (140, 160)).astype(np.uint8),
        pixel_mm=(1.0, 1.0),
        axes=(0, 1, 2),
        anomaly_map=np.full((28, 28), 0.3, np.float32),
        heatmap=0.3 + 2 * blob,
        body=np.ones((140, 160), dtype=np.bool_),
        voxels=np.stack([np.full((140, 160), 7), *np.mgrid[0:140, 0:160]], axis=-1).astype(np.int32),
        volume_shape=(20, 140, 160),
        slices=tuple(SliceSource(f"1.2.3.{number}", None) for number in range(20)),
    )
    return dataclasses.replace(breast, **changes)


def make_study(*breasts: BreastResult, **changes: Any) -> StudyResult:
    study = StudyResult(
        study_instance_uid="1.2.826.0.1.999",
        breasts=breasts or (make_breast("R"), make_breast("L", score=0.75, flagged=True)),
        phases=PhaseChoice("series 3, phase 1", "series 3, phase 2", "TriggerTime", 4),
        split=SplitChoice("sternum", 0.8, -3.25),
        contract=make_contract(),
        findings=(),
    )
    return dataclasses.replace(study, **changes)
