"""Opening a model: the optional package is imported only by the backend that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING

from fcdd_runtime.backends.base import Backend
from fcdd_runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from fcdd_runtime.backends.triton import TritonBackend


def open_folder(folder: Path) -> Backend:
    """Open an exported model folder in this process.

    Raises
    ------
    MissingExtraError
        If ONNX Runtime is not installed.
    ContractError, BackendError
        If the folder is no exported model, or it cannot be run here.
    """
    try:
        from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "running a model folder needs ONNX Runtime: pip install 'fcdd-edge[onnxruntime]'"
        ) from error
    return OnnxRuntimeBackend(folder)


def open_url(url: str, deadline_s: float = 60.0) -> "TritonBackend":
    """Connect to a model on a Triton server, `grpc://HOST:PORT/MODEL`; one call may take `deadline_s` seconds.

    Raises
    ------
    ServerUnreachableError, ContractError, BackendError
        If nothing answers there, or no model of ours.
    """
    from fcdd_runtime.backends.triton import TritonBackend  # noqa: PLC0415

    return TritonBackend(url, deadline_s)
