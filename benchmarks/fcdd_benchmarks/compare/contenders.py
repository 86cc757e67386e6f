"""The ways to run one snapshot's network that `fcdd-bench compare` puts side by side."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import numpy as np
import numpy.typing as npt
import onnxruntime
import openvino
import torch
from torch import Tensor, nn

from fcdd_benchmarks.compare.report import OURS, OURS_BY_PRECISION, Int8Form
from fcdd_export.convert import ARTEFACT, ExportRequest, export_models
from fcdd_export.gate.images import VerificationImages
from fcdd_export.graphs.onnx_graph import onnx_bytes
from fcdd_export.int8.qdq_graph import int8_share
from fcdd_export.int8.quantize import Method, int8_from_network
from fcdd_export.networks.served import ServedNetwork, pseudo_huber
from fcdd_export.networks.snapshot import Normalization, Snapshot
from fcdd_runtime.backends.base import Maps, Scores
from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend
from fcdd_runtime.contract import CONTRACT_FILE, MipRecipe, read_contract
from fcdd_runtime.files import sha256_of

ACCURATE = "fcdd-edge INT8, accurate method"
COMPILED = "torch.compile, batch norm folded"
OUTPUTS = ["score", "anomaly_map"]
MAX_BATCH = 64

Images = npt.NDArray[np.uint8]
"""uint8 (N, 1, 224, 224)."""
Run = Callable[[Images], tuple[Scores, Maps]]
"""Images of one batch -> scores float32 (N,) and maps float32 (N, 28, 28)."""


@dataclass(frozen=True)
class Contender:
    """One way to run the network."""

    name: str
    """Such as `ONNX Runtime FP32`."""
    precision: str
    """`fp32` or `int8`: whose limits it must keep."""
    run: Run


@dataclass(frozen=True)
class Field:
    """Who takes part, and who cannot and why."""

    contenders: tuple[Contender, ...]
    """Ours in FP32 first."""
    absent: dict[str, str]
    int8_forms: tuple[Int8Form, ...]
    """Those that take part."""


class PublishedScoring(nn.Module):
    """What the training code computes: three equal channels, batch norm as layers, map and score of the output."""

    def __init__(self, network: nn.Module, normalization: Normalization):
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1))

    def forward(self, mip: Tensor) -> tuple[Tensor, Tensor]:
        """Return score and map of uint8 images (N, 1, 224, 224)."""
        anomaly_map = pseudo_huber(self.network((mip.float().repeat(1, 3, 1, 1) / 255 - self.mean) / self.std))
        return anomaly_map.mean((2, 3)), anomaly_map


def make_contenders(
    snapshot: Snapshot,
    normalization: Normalization,
    calibration: Images | None,
    scratch: Path,
    methods: Sequence[Method] = ("fast",),
) -> Field:
    """Make all that can run here.

    Parameters
    ----------
    snapshot : of an FCDD network of one image
    calibration : images for INT8's scales; None: without INT8
    scratch : a folder for models, which must stay as long as the contenders
    methods : of making INT8, `fast` first; the other runtimes run what that made
    """
    network = snapshot.network.served(snapshot.objective, normalization.mean, normalization.std)
    assert isinstance(network, ServedNetwork)
    folder = _exported(snapshot, normalization, scratch)
    contenders = [
        Contender(OURS, "fp32", _ours(folder)),
        Contender("PyTorch eager, as published", "fp32", torch_run(PublishedScoring(snapshot.network, normalization))),
        Contender("PyTorch eager, batch norm folded", "fp32", torch_run(network)),
        *_on_runtimes((folder / read_contract(folder).artefact).read_bytes(), "fp32"),
    ]
    absent: dict[str, str] = {}
    forms: list[Int8Form] = []
    # As torch.compile looks for one.
    if any(which(name) for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++")):
        contenders.append(Contender(COMPILED, "fp32", torch_run(torch.compile(network, dynamic=False))))
    else:
        absent[COMPILED] = "no C++ compiler here"
    if calibration is None:
        absent["INT8"] = "left out as asked"
        return Field(tuple(contenders), absent, ())
    for method in methods:
        started = time.perf_counter()
        model = int8_from_network(network, calibration, method, "u8")
        name = OURS_BY_PRECISION["int8"] if method == "fast" else ACCURATE
        forms.append(Int8Form(name, time.perf_counter() - started, int8_share(model)))
        artefact = onnx_bytes(model)
        contenders.append(Contender(name, "int8", _ours(_int8_folder(folder, method, artefact))))
        if method == "fast":
            contenders += _on_runtimes(artefact, "int8")
    return Field(tuple(contenders), absent, tuple(forms))


def torch_run(network: Callable[..., tuple[Tensor, Tensor]]) -> Run:
    """Return what runs a torch module that answers scores (N, 1) and maps (N, 1, 28, 28)."""

    def run(images: Images) -> tuple[Scores, Maps]:
        with torch.inference_mode():
            score, anomaly_map = network(torch.from_numpy(images))
        return score.numpy()[:, 0], anomaly_map.numpy()[:, 0]

    return run


def _exported(snapshot: Snapshot, normalization: Normalization, repository: Path) -> Path:
    """Export to FP32, verified, for ONNX Runtime."""
    request = ExportRequest(
        snapshot=snapshot,
        normalization=normalization,
        precisions=("fp32",),
        target="python",
        verification=VerificationImages((), None),
        recipe=MipRecipe(),
        operating_point=None,
        name="compare",
        max_batch_size=MAX_BATCH,
        repository=repository,
        command="fcdd-bench compare",
    )
    [(_, folder)] = export_models(request)
    return folder


def _int8_folder(fp32: Path, method: Method, artefact: bytes) -> Path:
    """Make a folder that the runtime opens; the gate's limits are held where all contenders are checked."""
    folder = fp32.with_name(f"compare_int8_{method}")
    folder.mkdir()
    contract = read_contract(fp32)
    changed = dataclasses.replace(
        contract, name=folder.name, precision="int8", artefact=ARTEFACT, artefact_sha256=sha256_of(artefact)
    )
    (folder / ARTEFACT).write_bytes(artefact)
    (folder / CONTRACT_FILE).write_text(changed.to_json(), encoding="utf-8")
    return folder


def _ours(folder: Path) -> Run:
    backend = OnnxRuntimeBackend(folder)
    return lambda images: backend.infer({"mip": images})


def _on_runtimes(artefact: bytes, precision: str) -> list[Contender]:
    """Run the same ONNX file bare: no checks of files and answers, default threads."""
    return [
        Contender(f"{name} {precision.upper()}", precision, make(artefact))
        for name, make in (("ONNX Runtime", _onnxruntime), ("OpenVINO", _openvino))
    ]


def _onnxruntime(artefact: bytes) -> Run:
    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])

    def run(images: Images) -> tuple[Scores, Maps]:
        score, anomaly_map = session.run(OUTPUTS, {"mip": images})
        return score[:, 0], anomaly_map[:, 0]

    return run


def _openvino(artefact: bytes) -> Run:
    core = openvino.Core()
    # Its own default is bfloat16 where the processor has it, which is faster and no FP32.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(artefact), "CPU", options).create_infer_request()

    def run(images: Images) -> tuple[Scores, Maps]:
        found = request.infer({"mip": images})
        score, anomaly_map = (found[name] for name in OUTPUTS)
        return score[:, 0], anomaly_map[:, 0]

    return run
