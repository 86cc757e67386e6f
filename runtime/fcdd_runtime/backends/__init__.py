"""Opening a model: the optional package is imported only by the backend that needs it."""

from pathlib import Path
from typing import TYPE_CHECKING

from fcdd_runtime.backends.base import B, Backend
from fcdd_runtime.backends.copies import check_config
from fcdd_runtime.backends.golden import GoldenVectors, read_golden, self_test
from fcdd_runtime.backends.tensorrt.library import PACKAGES
from fcdd_runtime.commands import deferring_signals
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
        If the folder is no exported model, its copies of the contract differ, or it cannot be run here.
    GateError
        If it does not answer its first golden image, or an engine that is new on this GPU any of them, as it should.
    """
    contract = read_contract(folder)
    check_config(folder, contract)
    return _proven(_opened(folder, contract.target), read_golden(folder))


def _opened(folder: Path, target: str) -> Backend:
    if target not in PACKAGES:
        try:
            with deferring_signals():
                from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "running a model folder needs ONNX Runtime: pip install 'fcdd-edge[onnxruntime]'"
            ) from error
        return OnnxRuntimeBackend(folder)
    package = PACKAGES[target]
    try:
        with deferring_signals():
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


def open_url(url: str, deadline_s: float = 60.0, urgent: bool = False) -> "TritonBackend":
    """Connect to a model on a Triton server, `grpc://HOST:PORT/MODEL`; one call may take `deadline_s` seconds.

    Parameters
    ----------
    urgent : whether its requests go before all others, as those of a health check have to

    Raises
    ------
    ServerUnreachableError, ContractError, BackendError
        If nothing answers there, or no model of ours.
    GateError
        If it does not answer its first golden image as it should.
    """
    with deferring_signals():
        from fcdd_runtime.backends.triton import TritonBackend  # noqa: PLC0415

    served = TritonBackend(url, deadline_s, urgent)
    try:
        golden = served.golden()
    except BaseException:
        served.close()
        raise
    return _proven(served, golden)


def _proven(backend: B, golden: GoldenVectors) -> B:
    """Return a backend that answers the first golden image as it did when it was verified; another one is closed."""
    try:
        self_test(backend, golden.first())
    except BaseException:
        backend.close()
        raise
    return backend
