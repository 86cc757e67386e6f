"""FLOW 1: a trained snapshot becomes verified models in a Triton repository."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from fcdd_export.engine.model import SOURCE_FILE, EngineOptions, engine_model
from fcdd_export.gate.drift import Outputs
from fcdd_export.gate.golden import golden_of
from fcdd_export.gate.images import VerificationImages, verification_facts, warn
from fcdd_export.gate.prove import Gate, Proof, prove, references_of
from fcdd_export.gate.proven_model import ExportRecord, ProvenModel
from fcdd_export.graphs.fp16 import fp16_from_onnx
from fcdd_export.graphs.onnx_graph import onnx_bytes, onnx_from_network
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_export.int8.quantize import Method, calibration_advice, int8_from_network
from fcdd_export.machine import machine, peak_memory_mb
from fcdd_export.networks.registry import NETWORKS, upsampling_of
from fcdd_export.networks.served import MAP_SHAPE, ServedNetwork
from fcdd_export.networks.snapshot import Normalization, Snapshot
from fcdd_export.repository.write import KEPT_VERSIONS, check_repository, package_versions, write_models
from fcdd_runtime.backends.golden import golden_to_bytes
from fcdd_runtime.backends.tensorrt.library import FLAVOURS
from fcdd_runtime.contract import (
    GOLDEN_FILE,
    SCHEMA_VERSION,
    Display,
    EngineSource,
    MipRecipe,
    ModelContract,
    OperatingPoint,
    Precision,
    Resize,
    Target,
)
from fcdd_runtime.errors import GateError, ImageError
from fcdd_runtime.files import sha256_of
from fcdd_runtime.images.grey_range import grey_range
from fcdd_runtime.images.heatmap import display_range, upsample
from fcdd_runtime.images.network_input import GreyImage, stack_images

ARTEFACT = "model.onnx"
SOURCE_GOLDEN_FILE = "engine_golden.npz"


@dataclass(frozen=True)
class Calibration:
    """What INT8 is made of."""

    images: Sequence[GreyImage]
    """Unlabelled or normal, any size."""
    method: Method


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and with which knowledge that a snapshot does not hold."""

    snapshot: Snapshot
    normalization: Normalization
    precisions: tuple[Precision, ...]
    target: Target
    verification: VerificationImages
    recipe: MipRecipe | None
    """None: nobody said how DICOM becomes images, so the defaults are assumed, and the contract says so."""
    operating_point: OperatingPoint | None
    name: str
    """Models are named `NAME_PRECISION`."""
    max_batch_size: int
    repository: Path
    command: str
    """The command line, for the report."""
    calibration: Calibration | None = None
    """What INT8 is made of; None where it is not asked for."""
    engine_options: EngineOptions = field(default_factory=EngineOptions)
    accept_drift: str | None = None
    """Why limits of the gate may be exceeded; None: they may not."""
    kept_versions: int = KEPT_VERSIONS


def export_models(request: ExportRequest) -> list[tuple[ProvenModel, Path]]:
    """Export every precision asked for; nothing is published unless all of them pass the gate.

    Raises
    ------
    GateError
        If a model drifts beyond the limits of its precision.
    RepositoryError
        If the repository cannot be written to; it is then as it was.
    """
    check_repository(request.repository)
    snapshot, statistics = request.snapshot, request.normalization
    network = snapshot.network.served(snapshot.objective, statistics.mean, statistics.std)
    references = references_of(
        network,
        request.verification,
        snapshot.resize,
        upsampling_of(snapshot.net, snapshot.gauss_std),
        request.operating_point,
    )
    source = ConversionSource(network, onnx_from_network(network), snapshot.resize, request.calibration)
    method = request.calibration.method if request.calibration else None
    gate = Gate(source.graph, references, request.accept_drift, method)
    models = [_convert_and_prove(request, precision, source, gate) for precision in request.precisions]
    for flavour in FLAVOURS:
        if flavour == request.target:
            # What is verified by now is the graph that the engine is built from.
            options, repository = request.engine_options, request.repository
            models = [
                engine_model(model, options.settings(flavour, request.max_batch_size, repository / model.contract.name))
                for model in models
            ]
    folders = write_models(models, request.repository, request.kept_versions)
    return list(zip(models, folders, strict=True))


@dataclass(frozen=True)
class ConversionSource:
    """What the graphs of all precisions are made of."""

    network: ServedNetwork
    graph: onnx.ModelProto
    """FP32."""
    resize: Resize
    """How calibration images become the network's."""
    calibration: Calibration | None


def _int8_from_source(source: ConversionSource, for_tensorrt: bool) -> onnx.ModelProto:
    if source.calibration is None:
        raise ImageError("INT8 needs calibration images; give --calibration-images")
    images = stack_images(source.calibration.images, source.resize)
    return int8_from_network(source.network, images, source.calibration.method, "s8" if for_tensorrt else "u8")


CONVERTERS: dict[str, Callable[[ConversionSource, bool], onnx.ModelProto]] = {
    "fp32": lambda source, for_tensorrt: source.graph,
    "fp16": lambda source, for_tensorrt: fp16_from_onnx(source.graph),
    "int8": _int8_from_source,
}
"""What makes the graph of each precision in `PRECISIONS`, given whether TensorRT shall take it."""


def _convert_and_prove(
    request: ExportRequest, precision: Precision, source: ConversionSource, gate: Gate
) -> ProvenModel:
    started = time.perf_counter()
    spec, is_engine = PRECISIONS[precision], request.target in FLAVOURS
    artefact = CONVERTERS[precision](source, is_engine)
    proof = prove(artefact, precision, gate)
    contents = onnx_bytes(artefact)
    sha256 = sha256_of(contents)
    engines = _EngineForm(EngineSource(ARTEFACT, GOLDEN_FILE, sha256), proof)
    if spec.own_graph_for_tensorrt and not is_engine:
        engines = _engine_form(precision, source, gate, proof)
    proof = engines.proof
    method: dict[str, str | float] | None = None
    if spec.calibrated and source.calibration is not None:
        count = len(source.calibration.images)
        method = {"method": source.calibration.method, "calibration images": count}
        if advice := calibration_advice(count):
            method["advice"] = advice
    record = ExportRecord(
        command=request.command,
        machine=machine(),
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(),
        drifts=proof.drifts,
        layers=proof.layers,
        accepted=proof.accepted,
        method=method,
        verification=verification_facts(request.verification, gate.references[0].inputs),
    )
    contract = _contract(request, precision, gate.references[0].outputs, proof)
    contract = replace(contract, artefact_sha256=sha256, engine_source=engines.source, engine_refusal=engines.refusal)
    return ProvenModel(contract, {ARTEFACT: contents} | engines.files, golden_of(artefact, precision), record)


@dataclass(frozen=True)
class _EngineForm:
    """What engines of a model are built from."""

    source: EngineSource | None
    """None: they cannot be built of this model."""
    proof: Proof
    """What was measured of the artefact and of the graph for engines."""
    files: dict[str, bytes] = field(default_factory=dict)
    refusal: str | None = None
    """Why there is no source."""


def _engine_form(precision: Precision, source: ConversionSource, gate: Gate, proof: Proof) -> _EngineForm:
    """Make the graph for TensorRT too, where it refuses the one for CPUs.

    INT8 has half the codes there, and some networks do not stand that. Then the model for CPUs, which was asked for and
    is verified, is published without it.
    """
    graph = CONVERTERS[precision](source, True)
    try:
        engine_proof = prove(graph, precision, gate, "for TensorRT: ")
    except GateError as error:
        refusal = f"no engine can be built of this {precision.upper()} model: {str(error).splitlines()[0]}"
        warn(refusal)
        return _EngineForm(None, proof, refusal=refusal)
    contents = onnx_bytes(graph)
    files = {SOURCE_FILE: contents, SOURCE_GOLDEN_FILE: golden_to_bytes(golden_of(graph, precision))}
    built_from = EngineSource(SOURCE_FILE, SOURCE_GOLDEN_FILE, sha256_of(contents))
    return _EngineForm(built_from, proof.and_also(engine_proof), files)


def _contract(request: ExportRequest, precision: Precision, reference: Outputs, proof: Proof) -> ModelContract:
    """Say all but what the artefact's bytes decide."""
    snapshot, spec = request.snapshot, NETWORKS[request.snapshot.net]
    upsampling = upsampling_of(snapshot.net, snapshot.gauss_std)
    heatmaps = upsample(reference.maps, upsampling, snapshot.resize.size)
    return ModelContract(
        schema_version=SCHEMA_VERSION,
        name=f"{request.name}_{precision}",
        network=snapshot.net,
        objective=snapshot.objective,
        inputs=spec.inputs,
        resize=snapshot.resize,
        recipe=request.recipe or MipRecipe(),
        map_shape=MAP_SHAPE,
        map_kind=spec.map_kind,
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
        artefact_sha256="",
        engine_source=None,
        versions=package_versions(),
        notes=_notes(request, proof),
        grey=grey_range(request.verification.images),
    )


def _notes(request: ExportRequest, proof: Proof) -> tuple[str, ...]:
    """Say what a user of the model must know."""
    notes = []
    if request.recipe is None:
        notes.append(
            "Recipe assumed: nobody said how DICOM became this network's training images; compare with them "
            "(fcdd-bench recipe), and export with --recipe"
        )
    if proof.accepted:
        notes.append(f"Drift beyond the limits was accepted ({'; '.join(proof.accepted)}): {request.accept_drift}")
    return tuple(notes)
