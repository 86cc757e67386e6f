"""Verified artefact + contract -> a model folder of a Triton model repository."""

import base64
import hashlib
import os
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fcdd_export.report import report_json, report_markdown
from fcdd_export.verify import Drift
from fcdd_runtime.contract import CONTRACT_FILE, CONTRACT_PARAMETER, GOLDEN_FILE, GOLDEN_PARAMETER, ModelContract
from fcdd_runtime.files import replaced_folder
from fcdd_runtime.self_test import GoldenVectors, golden_to_bytes

VERSION_FOLDER = "1"
ARTEFACT = f"{VERSION_FOLDER}/model.onnx"
CONFIG_FILE = "config.pbtxt"


@dataclass(frozen=True)
class VerifiedModel:
    """An artefact that passed the gate, with all that travels with it."""

    contract: ModelContract
    artefact: bytes
    """Contents of the file that the contract names as `artefact`."""
    golden: GoldenVectors
    drifts: tuple[Drift, ...]
    seconds: float
    """Conversion to the precision, and verification."""
    command: str
    """The command line, for the report."""


def write_model(model: VerifiedModel, repository: Path) -> Path:
    """Write a model folder and put it in place in one step; an earlier model of that name is replaced.

    Returns
    -------
    the model folder, `repository / contract.name`
    """
    repository.mkdir(parents=True, exist_ok=True)
    target = repository / model.contract.name
    with replaced_folder(target, _drafts(repository)) as draft:
        _write_files(model, draft)
    return target


def model_config(contract: ModelContract, golden: GoldenVectors) -> model_config_pb2.ModelConfig:
    """Build Triton's configuration of a model.

    Dynamic batching without a queue delay, and a warm-up of the smallest and the largest batch, so that the first
    patient does not wait for allocations.
    """
    config = model_config_pb2.ModelConfig(
        name=contract.name,
        backend=contract.target,
        max_batch_size=contract.max_batch_size,
        dynamic_batching=model_config_pb2.ModelDynamicBatching(),
    )
    image = [1, contract.resize.size, contract.resize.size]
    for name in contract.inputs:
        config.input.add(name=name, data_type=model_config_pb2.TYPE_UINT8, dims=image)
    config.output.add(name="score", data_type=model_config_pb2.TYPE_FP32, dims=[1])
    config.output.add(name="anomaly_map", data_type=model_config_pb2.TYPE_FP32, dims=[1, *contract.map_shape])
    for batch in sorted({1, contract.max_batch_size}):
        warmup = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch)
        for name in contract.inputs:
            tensor = warmup.inputs[name]
            tensor.data_type, tensor.zero_data = model_config_pb2.TYPE_UINT8, True
            tensor.dims.extend(image)
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[GOLDEN_PARAMETER].string_value = base64.b64encode(golden_to_bytes(golden)).decode()
    return config


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that shape an artefact."""
    return {name: metadata.version(name) for name in ("fcdd-edge", "torch", "onnx", "onnxruntime", "numpy")}


def sha256_of(artefact: bytes) -> str:
    """Return the hexadecimal SHA-256 of an artefact."""
    return hashlib.sha256(artefact).hexdigest()


def onnx_bytes(model: onnx.ModelProto) -> bytes:
    """Serialise a graph so that the same graph always gives the same bytes."""
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _drafts(repository: Path) -> Path:
    """Drafts lie beside the repository where that is possible: Triton takes every folder inside for a model."""
    beside = repository.resolve().parent
    same_file_system = beside.stat().st_dev == repository.stat().st_dev
    return beside if same_file_system and os.access(beside, os.W_OK) else repository


def _write_files(model: VerifiedModel, folder: Path) -> None:
    (folder / VERSION_FOLDER).mkdir()
    (folder / model.contract.artefact).write_bytes(model.artefact)
    if model.contract.target == "python":
        backend = resources.files("fcdd_export") / "triton_model.py"
        (folder / VERSION_FOLDER / "model.py").write_text(backend.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / CONFIG_FILE).write_text(
        text_format.MessageToString(model_config(model.contract, model.golden)), encoding="utf-8"
    )
    (folder / CONTRACT_FILE).write_text(model.contract.to_json(), encoding="utf-8")
    (folder / GOLDEN_FILE).write_bytes(golden_to_bytes(model.golden))
    report = (model.contract, model.drifts, model.seconds, model.command)
    (folder / "export_report.json").write_text(report_json(*report), encoding="utf-8")
    (folder / "export_report.md").write_text(report_markdown(*report), encoding="utf-8")
