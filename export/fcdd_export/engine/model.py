"""Verified ONNX model -> the same model as a TensorRT engine, proven where a GPU is at hand."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from fcdd_export.engine.build import engine_from_onnx
from fcdd_export.engine.settings import EngineSettings
from fcdd_export.gate.proven_model import ProvenModel
from fcdd_export.progress import build_progress
from fcdd_export.repository.write import write_model
from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.gpu import find_gpu
from fcdd_runtime.backends.tensorrt.identity import IDENTITY_FILE, PLAN_FILE, TIMING_CACHE_FILE, EngineIdentity
from fcdd_runtime.backends.tensorrt.library import PACKAGES, Flavour
from fcdd_runtime.contract import GOLDEN_FILE, EngineSource, read_contract
from fcdd_runtime.errors import ContractError

SOURCE_FILE = "engine_source.onnx"
NOT_RUN = "not run: no GPU here that the engine is for; the runtime runs them first"


@dataclass(frozen=True)
class EngineOptions:
    """How engines are built, as the command's options say."""

    version_compatible: bool = False
    hardware_compatible: bool = False

    def settings(self, flavour: Flavour, max_batch_size: int, folder: Path) -> EngineSettings:
        """Add what a model says; the timing cache of its present version spares timing its kernels again.

        Parameters
        ----------
        folder : of the model, which need not exist yet
        """
        try:
            cache = ((folder / read_contract(folder).artefact).parent / TIMING_CACHE_FILE).read_bytes()
        except (ContractError, OSError):
            cache = b""
        return EngineSettings(flavour, max_batch_size, self.version_compatible, self.hardware_compatible, cache)


def engine_model(model: ProvenModel, settings: EngineSettings) -> ProvenModel:
    """Build the engine of a model from the graph that was verified; run its golden vectors if there is a GPU for it.

    Parameters
    ----------
    model : whose artefact is the ONNX graph for TensorRT

    Raises
    ------
    MissingExtraError, EngineBuildError
        If the flavour is not installed or cannot build the graph here.
    GateError
        If TensorRT gives layers other types than the precision demands, or the engine drifts from the golden vectors.
    """
    source = model.files[model.contract.artefact]
    with build_progress(f"TensorRT {model.contract.precision}") as progress:
        engine = engine_from_onnx(source, model.contract.precision, settings, progress)
    contract = replace(
        model.contract,
        target=settings.flavour,
        artefact=PLAN_FILE,
        artefact_sha256=engine.identity.engine_sha256,
        engine_source=EngineSource(SOURCE_FILE, GOLDEN_FILE, engine.identity.onnx_sha256),
        versions=model.contract.versions | {PACKAGES[settings.flavour].module: engine.identity.version},
    )
    files = {**engine.files(), SOURCE_FILE: source}
    built = replace(model, contract=contract, files=files, record=replace(model.record, engine=_facts(engine.identity)))
    return _prove(built) if _runs_here(engine.identity) else built


def _runs_here(identity: EngineIdentity) -> bool:
    """Whether there is a GPU that the engine is for: one for all GPUs can be built on another one, too."""
    gpu = find_gpu()
    return gpu is not None and gpu.compute_capability in identity.compute_capabilities


def _facts(identity: EngineIdentity) -> dict[str, str]:
    """Return what a report says of an engine."""
    profile = identity.profile
    return {
        "built by": identity.describe(),
        "golden vectors": "run on this GPU" if _runs_here(identity) else NOT_RUN,
        "batch": f"{profile.smallest} to {profile.largest}, tuned for {profile.best}",
        "ONNX SHA-256": identity.onnx_sha256,
        "engine SHA-256": identity.engine_sha256,
        "timing cache SHA-256": identity.timing_cache_sha256 or "none",
    }


def _prove(model: ProvenModel) -> ProvenModel:
    """Open the engine as the runtime does, which runs the golden vectors, and say so in its identity."""
    with tempfile.TemporaryDirectory() as scratch:
        open_folder(write_model(model, Path(scratch))).close()
    identity = json.loads(model.files[IDENTITY_FILE]) | {"proven": True}
    return replace(model, files={**model.files, IDENTITY_FILE: (json.dumps(identity, indent=2) + "\n").encode()})
