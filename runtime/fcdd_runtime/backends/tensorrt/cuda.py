"""Memory, stream and execution context of one TensorRT worker, by pycuda. The CUDA context is current in all calls."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import pycuda.driver as cuda

from fcdd_runtime.backends.base import Batch
from fcdd_runtime.errors import BackendError

CudaError = cuda.Error
"""Root of what CUDA refuses: cuda.MemoryError, cuda.LaunchError and others."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of the engine."""

    name: str
    is_input: bool
    dtype: npt.DTypeLike
    largest: tuple[int, ...]
    """Shape at the largest batch, (N, channels, rows, columns) or (N, values)."""


class Device:
    """The first GPU's primary context, which all of this process shares."""

    def __init__(self) -> None:
        cuda.init()
        self._context = cuda.Device(0).retain_primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context this thread's."""
        self._context.push()
        try:
            yield
        finally:
            cuda.Context.pop()

    def close(self) -> None:
        """Give the context back; nothing that was allocated in it may be left."""

        def release() -> None:
            # From any thread but the one that retained it, pycuda releases a context only while it is current.
            self._context.push()
            self._context.detach()

        # pycuda leaves the context current on the thread that releases it, so that is a thread of its own.
        releasing = threading.Thread(target=release)
        releasing.start()
        releasing.join()


class CudaWorker:
    """One stream, one execution context, and buffers for the largest batch: page-locked ones here, others there."""

    def __init__(self, context: Any, specs: list[TensorSpec], last_error: Callable[[], str]):
        """Allocate everything, so that a call only copies and runs.

        Parameters
        ----------
        context : TensorRT's execution context, which the worker takes over
        last_error : tells why TensorRT refused something
        """
        self._context = context
        self._last_error = last_error
        self._specs = specs
        self._stream = cuda.Stream()
        self._host: dict[str, Any] = {}
        self._device: dict[str, Any] = {}
        try:
            for spec in specs:
                host = cuda.pagelocked_empty(math.prod(spec.largest), spec.dtype)
                self._host[spec.name] = host
                self._device[spec.name] = cuda.mem_alloc(host.nbytes)
                context.set_tensor_address(spec.name, int(self._device[spec.name]))
        except BaseException:
            self.close()
            raise

    def run(self, batch: Batch) -> dict[str, Array]:
        """Copy a batch to the GPU, run it and copy the outputs back.

        Returns
        -------
        output name -> array of the shape that TensorRT states for this batch

        Raises
        ------
        BackendError
            If TensorRT refuses a shape or the run.
        CudaError
            If CUDA fails.
        """
        outputs: dict[str, Array] = {}
        try:
            for name in (spec.name for spec in self._specs if spec.is_input):
                images = batch[name]
                if not self._context.set_input_shape(name, images.shape):
                    raise BackendError(f"TensorRT refuses `{name}` of shape {images.shape} ({self._last_error()})")
                host = self._host[name][: images.size]
                host[:] = images.reshape(-1)
                cuda.memcpy_htod_async(self._device[name], host, self._stream)
            if not self._context.execute_async_v3(self._stream.handle):
                raise BackendError(f"TensorRT did not start the run ({self._last_error()})")
            for name in (spec.name for spec in self._specs if not spec.is_input):
                shape = tuple(self._context.get_tensor_shape(name))
                if min(shape) < 1 or math.prod(shape) > self._host[name].size:
                    raise BackendError(f"TensorRT states the shape {shape} for `{name}`")
                host = self._host[name][: math.prod(shape)]
                cuda.memcpy_dtoh_async(host, self._device[name], self._stream)
                outputs[name] = host.reshape(shape)
        finally:
            # Also after a failure: nothing may still be copying when the next batch is written.
            self._stream.synchronize()
        # The buffers belong to the next batch.
        return {name: output.copy() for name, output in outputs.items()}

    def close(self) -> None:
        """Free all memory, and drop the execution context and the stream."""
        self._context = None
        for memory in self._device.values():
            memory.free()
        for array in self._host.values():
            array.base.free()
        self._device, self._host = {}, {}
        self._stream = None
