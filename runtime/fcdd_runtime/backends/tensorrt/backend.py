"""A TensorRT or TensorRT-RTX engine in this process, on the machine's NVIDIA GPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores, checked_answer
from fcdd_runtime.backends.gpu import find_gpu
from fcdd_runtime.backends.tensorrt.cuda import CudaError, CudaWorker, Device, TensorSpec
from fcdd_runtime.backends.tensorrt.identity import EngineIdentity, check_fits, read_engine
from fcdd_runtime.backends.tensorrt.library import PACKAGES, LibraryLog, library_log, load_library
from fcdd_runtime.backends.tensorrt.pool import WorkerPool
from fcdd_runtime.backends.tensorrt.proof import prove_once
from fcdd_runtime.contract import ModelContract, read_contract
from fcdd_runtime.errors import BackendError, ContractError, one_line

WORKERS = 2
"""Streams: while one batch computes, the next is copied. More would only take scratch memory from other programs."""


class TensorRTBackend(Backend):
    """Runs the engine of an exported model folder. May be used by several threads at once.

    An engine that was not yet proven on this GPU is proven with its golden vectors before it answers anything else.
    """

    _log: LibraryLog
    _device: Device
    _runtime: Any
    _engine: Any
    _workers: WorkerPool[CudaWorker]

    def __init__(self, folder: Path):
        """Open a model folder.

        Raises
        ------
        ContractError
            If a file is missing or damaged, or they do not belong together.
        EngineMismatchError
            If the engine was built for another GPU or library version.
        MissingExtraError
            If the library of the engine's flavour is not installed.
        BackendError
            If there is no GPU here, or TensorRT refuses the engine.
        GateError
            If the engine does not answer its golden vectors as it should.
        """
        self.contract = read_contract(folder)
        identity, plan = read_engine(folder, self.contract)
        version = str(load_library(identity.flavour).__version__)
        gpu = find_gpu()
        if gpu is None:
            raise BackendError(
                f"{folder} needs an NVIDIA GPU, and its driver shows none here; open its ONNX form instead"
            )
        check_fits(identity, version, gpu, folder)
        self._open(identity, plan)
        try:
            prove_once(self, folder, identity, version, gpu)
        except BaseException:
            self.close()
            raise

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        """Score a batch; see `Backend.infer`."""
        try:
            with self._workers.borrowed() as worker, self._device.current():
                outputs = worker.run(batch)
        except CudaError as error:
            raise BackendError(f"the GPU failed on {self.contract.name} ({one_line(error)})") from error
        return checked_answer(outputs["score"], outputs["anomaly_map"], len(batch["mip"]), self.contract)

    def close(self) -> None:
        """Wait for running calls, then free the GPU. A second call does nothing."""
        if self._runtime is None:
            return
        with self._device.current():
            self._workers.close()
        self._release()

    def _release(self) -> None:
        """Destroy the engine, its context being current, before what it was made by."""
        with self._device.current():
            self._engine = None
            self._runtime = None
        self._device.close()

    def _open(self, identity: EngineIdentity, plan: bytes) -> None:
        library = load_library(identity.flavour)
        self._log = library_log(identity.flavour)
        try:
            self._device = Device()
        except CudaError as error:
            raise BackendError(f"CUDA does not start ({one_line(error)}); check the driver with nvidia-smi") from error
        try:
            with self._device.current():
                self._runtime = library.Runtime(self._log.logger)
                self._engine = _engine(self._runtime, identity, plan, self._log.last_error)
                specs = _specs(library, self._engine, self.contract)
        except BaseException:
            self._release()
            raise
        self._workers = WorkerPool(lambda: self._worker(specs), WORKERS)

    def _worker(self, specs: list[TensorSpec]) -> CudaWorker:
        with self._device.current():
            context = self._engine.create_execution_context()
            if context is None:
                raise BackendError(
                    f"{self.contract.name} finds no GPU memory ({self._log.last_error()}); close other programs there"
                )
            return CudaWorker(context, specs, self._log.last_error)


def _engine(runtime: Any, identity: EngineIdentity, plan: bytes, last_error: Callable[[], str]) -> Any:
    if identity.version_compatible:
        # Such a plan carries a small runtime of its own. Its hash was checked, so that code is the builder's.
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BackendError(
            f"{PACKAGES[identity.flavour].title} cannot load the engine ({last_error()}); "
            "build it again on this machine"
        )
    return engine


def _specs(library: Any, engine: Any, contract: ModelContract) -> list[TensorSpec]:
    """Describe the engine's tensors for the largest batch; refuse an engine with others than the contract's."""
    size = contract.resize.size
    images = (contract.max_batch_size, 1, size, size)
    specs = [TensorSpec(name, True, np.uint8, images) for name in contract.inputs]
    specs.append(TensorSpec("score", False, np.float32, (contract.max_batch_size, 1)))
    specs.append(TensorSpec("anomaly_map", False, np.float32, (contract.max_batch_size, 1, *contract.map_shape)))
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {(name, engine.get_tensor_dtype(name), tuple(engine.get_tensor_shape(name))[1:]) for name in names}
    kinds: dict[npt.DTypeLike, Any] = {np.uint8: library.DataType.UINT8, np.float32: library.DataType.FLOAT}
    if found != {(spec.name, kinds[spec.dtype], spec.largest[1:]) for spec in specs}:
        raise ContractError(f"the engine of {contract.name} has other tensors than its contract; build it again")
    return specs
