"""The backends that gpu-check runs a model on, and why one cannot be had here."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from fcdd_benchmarks.timing.served import served
from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import GoldenVectors, read_golden
from fcdd_runtime.backends.tensorrt.library import Flavour
from fcdd_runtime.contract import CONTRACT_FILE
from fcdd_runtime.errors import BackendError, GateError, one_line

CUDA = "CUDAExecutionProvider"
EXPORT = "from fcdd_export.cli import main; main()"
TENSORRT_BACKEND = Path("/opt/tritonserver/backends/tensorrt")
"""Where NVIDIA's containers keep Triton's TensorRT backend, beside the folder of an installed server."""
DEADLINE_S = 60.0

Opened = tuple[Backend, GoldenVectors]
"""A backend, and what it has to answer: on a GPU, INT8 rounds otherwise than on a CPU."""


def cuda_refusal() -> str | None:
    """Say why ONNX Runtime cannot use the GPU; None if it can."""
    try:
        import onnxruntime  # noqa: PLC0415
    except ModuleNotFoundError:
        return "ONNX Runtime: not installed"
    built_in = CUDA in onnxruntime.get_available_providers()
    return None if built_in else "ONNX Runtime with CUDA: this build of ONNX Runtime has no CUDA provider"


def triton_refusal() -> str | None:
    """Say why no plan can be served here; None if one can."""
    server = shutil.which("tritonserver")
    if server is None:
        return "Triton with TensorRT: there is no tritonserver here"
    beside = Path(server).resolve().parents[1] / "backends" / "tensorrt"
    found = any(folder.is_dir() for folder in (beside, TENSORRT_BACKEND))
    return None if found else "Triton with TensorRT: the tritonserver here has no TensorRT backend"


@contextmanager
def opened_on_cuda(folder: Path) -> Iterator[Opened]:
    """Open a model folder with ONNX Runtime on the GPU.

    Raises
    ------
    BackendError
        If ONNX Runtime fell back to the CPU, which it does without an error.
    """
    from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415

    with closing(OnnxRuntimeBackend(folder)) as backend:
        if CUDA not in backend.providers:
            raise BackendError("ONNX Runtime's CUDA provider does not start here; look for missing CUDA libraries")
        yield backend, read_golden(folder)


@contextmanager
def opened_engine(folder: Path, flavour: Flavour, repository: Path) -> Iterator[Opened]:
    """Build an exported model's engine into a repository, as an appliance does, and open it.

    Raises
    ------
    FcddError
        If the command fails, or the engine is refused.
    """
    command = [sys.executable, "-c", EXPORT, str(folder), "--target", flavour, "--repo", str(repository)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        kind = GateError if done.returncode == GateError.exit_code else BackendError
        raise kind(one_line(done.stderr.removeprefix("Error: ")))
    [contract] = repository.glob(f"*/{CONTRACT_FILE}")
    with open_folder(contract.parent) as backend:
        yield backend, read_golden(contract.parent)


@contextmanager
def opened_plan(repository: Path, log: Path) -> Iterator[Opened]:
    """Serve the one model of a repository with Triton, and connect to it."""
    [contract] = repository.glob(f"*/{CONTRACT_FILE}")
    with (
        served(repository, log) as address,
        open_url(f"{address}/{contract.parent.name}", DEADLINE_S) as model,
    ):
        yield model, model.golden()
