"""Opening a model: the optional package is imported only by the backend that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.backends.tensorrt.library import PACKAGES
from fcdd_runtime.contract import read_contract
from fcdd_runtime.errors import BackendError, MissingExtraError, one_line

if TYPE_CHECKING:
    from fcdd_runtime.backends.triton import TritonBackend


def open_folder(folder: Path) -> Backend:
    """Open an exported model folder in this process: its engine with TensorRT, an ONNX model with ONNX Runtime.

    Raises
    ------
    MissingExtraError
        If the package that runs it is not installed.
    ContractError, BackendError
        If the folder is no exported model, or it cannot be run here.
    GateError
        If an engine is new on this GPU and does not answer its golden vectors as it should.
    """
    target = read_contract(folder).target
    if target not in PACKAGES:
        try:
            from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "running a model folder needs ONNX Runtime: pip install 'fcdd-edge[onnxruntime]'"
            ) from error
        return OnnxRuntimeBackend(folder)
    package = PACKAGES[target]
    try:
        from fcdd_runtime.backends.tensorrt.backend import TensorRTBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"running an engine of {package.title} needs pycuda: pip install 'fcdd-edge[{package.extra}]'"
        ) from error
    except ImportError as error:
        # pycuda is there, and the driver's library that it is linked to is not.
        raise BackendError(
            f"{folder} needs an NVIDIA GPU and its driver ({one_line(error)}); open its ONNX form instead"
        ) from error
    return TensorRTBackend(folder)


def open_url(url: str, deadline_s: float = 60.0) -> "TritonBackend":
    """Connect to a model on a Triton server, `grpc://HOST:PORT/MODEL`; one call may take `deadline_s` seconds.

    Raises
    ------
    ServerUnreachableError, ContractError, BackendError
        If nothing answers there, or no model of ours.
    """
    from fcdd_runtime.backends.triton import TritonBackend  # noqa: PLC0415

    return TritonBackend(url, deadline_s)
