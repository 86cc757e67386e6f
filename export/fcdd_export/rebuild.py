"""Exported model folder -> its TensorRT engine, or another threshold, on the appliance: without torch."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from fcdd_export.engine.model import EngineOptions, engine_model
from fcdd_export.gate.drift import Drift, LayerDrift
from fcdd_export.gate.proven_model import ExportRecord, ImageFacts, ProvenModel
from fcdd_export.machine import machine, peak_memory_mb
from fcdd_export.repository.write import REPORT_FILE, WRITTEN_ANEW, check_repository, write_model
from fcdd_runtime.backends.golden import golden_from_bytes
from fcdd_runtime.backends.tensorrt.library import FLAVOURS, Flavour, installed_flavours
from fcdd_runtime.contract import GOLDEN_FILE, ModelContract, OperatingPoint, from_plain, read_contract
from fcdd_runtime.errors import ContractError, MissingExtraError
from fcdd_runtime.files import sha256_of
from fcdd_runtime.outside_text import json_from_outside


@dataclass(frozen=True)
class RebuildRequest:
    """Whose engine to build, how, and where to put it."""

    folder: Path
    """Of the exported model."""
    target: str
    """Flavour, or `auto` for the one that is installed."""
    options: EngineOptions
    repository: Path | None
    """None: the one that the folder lies in."""
    kept_versions: int
    command: str
    """The command line, for the report."""


def rebuild(request: RebuildRequest) -> tuple[ProvenModel, Path]:
    """Build the engine of an exported model and publish it as the model's next version.

    Raises
    ------
    ContractError
        If the folder is no exported model or its graph is not the one that was verified.
    RepositoryError
        If the repository cannot be written to.
    MissingExtraError, EngineBuildError, GateError
        As `engine_model`.
    """
    started = time.perf_counter()
    folder, contract = request.folder, read_contract(request.folder)
    repository = _checked_repository(folder, contract, request.repository)
    flavour = chosen_flavour(request.target)
    settings = request.options.settings(flavour, contract.max_batch_size, folder)
    model = engine_model(_read_verified(folder, contract, request.command), settings)
    record = replace(model.record, seconds=time.perf_counter() - started, peak_memory_mb=peak_memory_mb())
    model = replace(model, record=record)
    return model, write_model(model, repository, request.kept_versions)


def set_operating_point(
    folder: Path, point: OperatingPoint, repository: Path | None, kept_versions: int, command: str
) -> tuple[ProvenModel, Path]:
    """Publish an exported model with another operating point as its next version; nothing else changes.

    Parameters
    ----------
    repository : None: the one that the folder lies in
    kept_versions, command : as in `RebuildRequest`

    Raises
    ------
    ContractError
        If the folder is no exported model or its artefact is not the one that was verified.
    RepositoryError
        If the repository cannot be written to.
    """
    contract = read_contract(folder)
    repository = _checked_repository(folder, contract, repository)
    inner, name = (folder / contract.artefact).parent, Path(contract.artefact).name
    files = {path.name: _read(path) for path in inner.iterdir() if path.is_file() and path.name not in WRITTEN_ANEW}
    if sha256_of(files.get(name, b"")) != contract.artefact_sha256:
        raise ContractError(f"{inner / name} is not the artefact that was verified; export the model again")
    model = ProvenModel(
        replace(contract, artefact=name, operating_point=point),
        files,
        golden_from_bytes(_read(inner / GOLDEN_FILE)),
        _record(inner / REPORT_FILE, command),
    )
    return model, write_model(model, repository, kept_versions)


def _checked_repository(folder: Path, contract: ModelContract, repository: Path | None) -> Path:
    """Return where the model's next version goes, after checking that it can be written there."""
    if folder.resolve().name != contract.name:
        raise ContractError(
            f"{folder} holds the model {contract.name}, which its next version would replace elsewhere; "
            "give the folder its model's name, or export the snapshot with --name"
        )
    repository = repository or folder.resolve().parent
    check_repository(repository)
    return repository


def chosen_flavour(target: str) -> Flavour:
    """Return the flavour that a target names; `auto` is full TensorRT, else TensorRT-RTX, whichever is installed.

    Raises
    ------
    MissingExtraError
        If `auto` finds none.
    ContractError
        If the target is no flavour: a model folder holds its ONNX form already.
    """
    if target == "auto":
        for flavour in installed_flavours():
            return flavour
        raise MissingExtraError(
            "building an engine needs TensorRT: pip install 'fcdd-edge[tensorrt]', or 'fcdd-edge[rtx]'"
        )
    for flavour in FLAVOURS:
        if flavour == target:
            return flavour
    raise ContractError(
        f"an exported model cannot be turned into the form {target}; give --target tensorrt or tensorrt-rtx, "
        "or the snapshot"
    )


def _read_verified(folder: Path, contract: ModelContract, command: str) -> ProvenModel:
    """Gather what the folder says of the graph that engines are built from."""
    inner = (folder / contract.artefact).parent
    source = contract.engine_source
    if source is None:
        reason = contract.engine_refusal or f"{folder} holds no graph that an engine can be built of"
        raise ContractError(f"{reason}; export the snapshot with another precision or method")
    graph, golden = _read(inner / source.file), _read(inner / source.golden)
    if sha256_of(graph) != source.sha256:
        raise ContractError(f"{inner / source.file} is not the graph that was verified; export the model again")
    return ProvenModel(
        replace(contract, artefact=source.file, artefact_sha256=source.sha256),
        {source.file: graph},
        golden_from_bytes(golden),
        _record(inner / REPORT_FILE, command),
    )


def _record(report: Path, command: str) -> ExportRecord:
    """Take over what was measured of the graph against torch; command and machine are this build's."""
    try:
        former = json_from_outside(_read(report))
        drifts = from_plain(tuple[Drift, ...], former["drifts"])
        layers = from_plain(tuple[LayerDrift, ...], former["layers"])
        accepted = from_plain(tuple[str, ...], former["accepted"])
        images = from_plain(ImageFacts | None, former.get("verification"))
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"{report} is damaged ({error}); export the model again") from error
    method = former.get("method")
    return ExportRecord(command, machine(), 0.0, 0.0, drifts, layers, accepted, method, verification=images)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}); export the model again") from error
