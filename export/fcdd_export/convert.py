"""FLOW 1: a trained snapshot becomes verified models in a Triton repository."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from fcdd_export.drawn import drawn_images, extreme_images, golden_images
from fcdd_export.graph import onnx_from_network
from fcdd_export.network import MAP_SHAPE, ServedNetwork, upsampling_of
from fcdd_export.precision import fp16_from_onnx
from fcdd_export.repository import (
    ARTEFACT,
    VerifiedModel,
    onnx_bytes,
    package_versions,
    sha256_of,
    write_model,
)
from fcdd_export.snapshot import Normalization, Snapshot
from fcdd_export.verify import (
    Drift,
    Images,
    Outputs,
    check_drift,
    fp16_simulation,
    measure_drift,
    onnxruntime_outputs,
    torch_outputs,
)
from fcdd_runtime.batch import GreyImage, stack_images
from fcdd_runtime.contract import (
    SCHEMA_VERSION,
    Display,
    MipRecipe,
    ModelContract,
    OperatingPoint,
    Precision,
    Target,
)
from fcdd_runtime.heatmap import display_range, upsample
from fcdd_runtime.self_test import GoldenVectors


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and with which knowledge that a snapshot does not hold."""

    snapshot: Snapshot
    normalization: Normalization
    precisions: tuple[Precision, ...]
    """Out of `fp32`, `fp16`."""
    target: Target
    """`python` or `onnxruntime`, as in the contract."""
    verify_images: Sequence[GreyImage]
    """Images to verify on, any size; none: drawn ones."""
    recipe: MipRecipe
    operating_point: OperatingPoint | None
    name: str
    """Models are named `NAME_PRECISION`."""
    max_batch_size: int
    repository: Path
    command: str
    """The command line, for the report."""


@dataclass(frozen=True)
class _Reference:
    """Images, and what torch answers for them in FP32."""

    images: Images
    outputs: Outputs
    extreme: bool


def export_models(request: ExportRequest) -> list[tuple[VerifiedModel, Path]]:
    """Export every precision asked for; nothing is published unless all of them pass the gate.

    Raises
    ------
    GateError
        If a model drifts beyond the limits of its precision.
    """
    network = ServedNetwork(request.snapshot.network, request.normalization.mean, request.normalization.std)
    references = [
        _Reference(images, torch_outputs(network, images), extreme)
        for images, extreme in ((_verification_images(request), False), (extreme_images(), True))
    ]
    graph = onnx_from_network(network)
    models = [_verified(request, precision, network, graph, references) for precision in request.precisions]
    return [(model, write_model(model, request.repository)) for model in models]


def _verified(
    request: ExportRequest,
    precision: Precision,
    network: ServedNetwork,
    graph: onnx.ModelProto,
    references: list[_Reference],
) -> VerifiedModel:
    started = time.perf_counter()
    if precision == "fp16":
        graph = fp16_from_onnx(graph)
    drifts = [_artefact_drift(graph, reference, request.operating_point) for reference in references]
    if precision == "fp16":
        drifts += [_simulated_drift(network, reference, request.operating_point) for reference in references]
    for drift in drifts:
        check_drift(drift, precision)
    artefact = onnx_bytes(graph)
    return VerifiedModel(
        contract=_contract(request, precision, sha256_of(artefact), references[0].outputs),
        artefact=artefact,
        golden=_golden(graph),
        drifts=tuple(drifts),
        seconds=time.perf_counter() - started,
        command=request.command,
    )


def _artefact_drift(graph: onnx.ModelProto, reference: _Reference, operating_point: OperatingPoint | None) -> Drift:
    outputs = onnxruntime_outputs(graph, reference.images)
    return measure_drift("onnxruntime", outputs, reference.outputs, operating_point, extreme=reference.extreme)


def _simulated_drift(network: ServedNetwork, reference: _Reference, operating_point: OperatingPoint | None) -> Drift:
    outputs, largest = fp16_simulation(network, reference.images)
    drift = measure_drift("fp16 simulation", outputs, reference.outputs, operating_point, extreme=reference.extreme)
    return replace(drift, activation_largest=largest)


def _verification_images(request: ExportRequest) -> Images:
    """The user's images, or drawn ones."""
    if not request.verify_images:
        return drawn_images(16)
    return stack_images(request.verify_images, request.snapshot.resize)


def _golden(graph: onnx.ModelProto) -> GoldenVectors:
    images = golden_images()
    outputs = onnxruntime_outputs(graph, images)
    return GoldenVectors(images, outputs.scores, outputs.maps)


def _contract(request: ExportRequest, precision: Precision, artefact_sha256: str, reference: Outputs) -> ModelContract:
    snapshot = request.snapshot
    upsampling = upsampling_of(snapshot.net, snapshot.gauss_std)
    heatmaps = upsample(reference.maps, upsampling, snapshot.resize.size)
    return ModelContract(
        schema_version=SCHEMA_VERSION,
        name=f"{request.name}_{precision}",
        network=snapshot.net,
        objective=snapshot.objective,
        inputs=("mip",),
        resize=snapshot.resize,
        recipe=request.recipe,
        map_shape=MAP_SHAPE,
        map_kind="fcdd",
        upsampling=upsampling,
        display=Display(snapshot.quantile, display_range(heatmaps, snapshot.quantile)),
        operating_point=request.operating_point,
        precision=precision,
        target=request.target,
        artefact=ARTEFACT,
        max_batch_size=request.max_batch_size,
        mean=request.normalization.mean,
        std=request.normalization.std,
        snapshot_sha256=snapshot.sha256,
        artefact_sha256=artefact_sha256,
        versions=package_versions(),
    )
