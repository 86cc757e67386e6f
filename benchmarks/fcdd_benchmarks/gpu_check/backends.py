"""The backends that gpu-check runs a model on, and why one cannot be had here."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fcdd_runtime.backends import open_folder, open_url
from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.golden import GoldenVectors, read_golden
from fcdd_runtime.backends.tensorrt.library import Flavour
from fcdd_runtime.contract import CONTRACT_FILE
from fcdd_runtime.errors import BackendError, GateError, one_line
from fcdd_runtime.serving.triton_process import ServerOptions, running_server

CUDA = "CUDAExecutionProvider"
EXPORT = "from fcdd_export.cli import main; main()"
TENSORRT_BACKENDS = (Path("/opt/tritonserver/backends/tensorrt"),)
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


def open_on_cuda(folder: Path) -> Backend:
    """Open a model folder with ONNX Runtime on the GPU.

    Raises
    ------
    BackendError
        If ONNX Runtime fell back to the CPU, which it does without an error.
    """
    from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415

    backend = OnnxRuntimeBackend(folder)
    if CUDA not in backend.providers:
        backend.close()
        raise BackendError("ONNX Runtime's CUDA provider does not start here; look for missing CUDA libraries")
    return backend


def open_engine(folder: Path, flavour: Flavour, repository: Path) -> Opened:
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
    return open_folder(contract.parent), read_golden(contract.parent)


def triton_refusal() -> str | None:
    """Say why no plan can be served here; None if one can."""
    server = shutil.which("tritonserver")
    if server is None:
        return "Triton with TensorRT: there is no tritonserver here"
    beside = Path(server).resolve().parents[1] / "backends" / "tensorrt"
    found = any(folder.is_dir() for folder in (beside, *TENSORRT_BACKENDS))
    return None if found else "Triton with TensorRT: the tritonserver here has no TensorRT backend"


@contextmanager
def served_plan(repository: Path, log: Path) -> Iterator[Callable[[], Opened]]:
    """Serve the one model of a repository: gives what starts the server and connects to it."""
    with ExitStack() as stack:

        def opened() -> Opened:
            http, grpc, metrics = _free_ports(3)
            options = ServerOptions(repository, "127.0.0.1", http, grpc, metrics, log)
            server = stack.enter_context(running_server(options))
            backend = open_url(server.urls[0], DEADLINE_S)
            return backend, backend.golden()

        yield opened


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
