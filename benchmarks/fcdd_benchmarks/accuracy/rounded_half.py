"""FP16 models as they compute where every tensor really is half, on machines whose ONNX Runtime does not."""

import dataclasses
import tempfile
from pathlib import Path

from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.contract import CONTRACT_FILE, read_contract
from fcdd_runtime.errors import MissingExtraError
from fcdd_runtime.files import sha256_of

SUFFIX = " rounded to half"
ONNX_FILE = "model.onnx"


def open_rounded(folder: Path) -> Backend:
    """Open an exported model's folder; run an FP16 ONNX model as its FP32 simulation, and say so in its name.

    ONNX Runtime computes FP16 convolutions on a CPU in FP32. The simulation rounds every tensor that is half in the
    file to half, as the export's own proof does. Models of other precisions, and engines, are opened as they are.

    Raises
    ------
    MissingExtraError
        If onnx is not installed.
    ContractError, BackendError
        If the folder is no exported model, or it cannot be run here.
    """
    contract = read_contract(folder)
    if contract.precision != "fp16" or Path(contract.artefact).suffix != ".onnx":
        return open_folder(folder)
    # Opened once as it is, so that a file which is not the one that was verified is refused, and ONNX Runtime is there.
    open_folder(folder).close()
    from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415

    simulation = _simulation(folder / contract.artefact)
    changed = dataclasses.replace(
        contract, name=contract.name + SUFFIX, artefact=ONNX_FILE, artefact_sha256=sha256_of(simulation)
    )
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        (Path(scratch) / ONNX_FILE).write_bytes(simulation)
        (Path(scratch) / CONTRACT_FILE).write_text(changed.to_json(), encoding="utf-8")
        backend = OnnxRuntimeBackend(Path(scratch))
    # Reports name the file that was exported.
    backend.contract = dataclasses.replace(contract, name=changed.name)
    return backend


def _simulation(artefact: Path) -> bytes:
    try:
        import onnx  # noqa: PLC0415

        from fcdd_export.gate.half_simulation import half_simulation  # noqa: PLC0415
        from fcdd_export.graphs.onnx_graph import onnx_bytes  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"rounding to half needs {error.name}, which is not installed: pip install 'fcdd-edge[export]'"
        ) from error
    return onnx_bytes(half_simulation(onnx.load(artefact)))
