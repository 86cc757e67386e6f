"""Memory, streams and threads on a real GPU, without TensorRT: a stand-in for its execution context copies bytes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from result_builders import make_contract

from fcdd_runtime.backends.tensorrt.pool import WorkerPool
from fcdd_runtime.errors import BackendError

if TYPE_CHECKING:
    from fcdd_runtime.backends.tensorrt.cuda import CudaWorker, Device, TensorSpec

try:
    import pycuda.driver as cuda

    from fcdd_runtime.backends.tensorrt import backend as tensorrt
    from fcdd_runtime.backends.tensorrt import cuda as ours
except ImportError:  # also where pycuda is installed without a driver
    pytest.skip("needs an NVIDIA GPU and pycuda", allow_module_level=True)

BATCH, SIZE, MAP = 8, 224, 28
BUSY_BYTES = 256 << 20
TRAP = b"""
.version 7.0
.target sm_52
.address_size 64
.visible .entry fails() { trap; }
"""


class CopyingContext:
    """Answers with the first bytes of the images, after a while: too early a copy shows older ones."""

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.count = 0
        self.busy = cuda.mem_alloc(BUSY_BYTES)
        self.stream: Any = None
        self.starts = True
        self.larger = 1

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, _: str, shape: tuple[int, ...]) -> bool:
        self.count = shape[0]
        return self.count <= BATCH

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.count * self.larger, 1) if name == "score" else (self.count, 1, MAP, MAP)

    def execute_async_v3(self, stream: int) -> bool:
        if not self.starts:
            return False
        on = self.stream
        assert stream == on.handle
        for _ in range(4):
            cuda.memset_d8_async(int(self.busy), 1, BUSY_BYTES, on)
        cuda.memcpy_dtod_async(self.addresses["score"], self.addresses["mip"], 4 * self.count, on)
        cuda.memcpy_dtod_async(self.addresses["anomaly_map"], self.addresses["mip"], 4 * self.count * MAP * MAP, on)
        return True


@pytest.fixture
def device() -> Iterator["Device"]:
    opened = ours.Device()
    yield opened
    opened.close()


def specs(batch: int = BATCH) -> "list[TensorSpec]":
    return [
        ours.TensorSpec("mip", True, np.uint8, (batch, 1, SIZE, SIZE)),
        ours.TensorSpec("score", False, np.float32, (batch, 1)),
        ours.TensorSpec("anomaly_map", False, np.float32, (batch, 1, MAP, MAP)),
    ]


def new_worker(context: CopyingContext | None = None) -> "CudaWorker":
    context = context or CopyingContext()
    worker = ours.CudaWorker(context, specs(), lambda: "the reason")
    context.stream = worker._stream  # TensorRT needs the handle only
    return worker


def images(count: int, seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, SIZE, SIZE), np.uint8)


def assert_answers(outputs: dict[str, npt.NDArray[Any]], mip: npt.NDArray[np.uint8]) -> None:
    count = len(mip)
    assert outputs["score"].shape == (count, 1) and outputs["anomaly_map"].shape == (count, 1, MAP, MAP)
    assert outputs["score"].tobytes() == mip.tobytes()[: 4 * count]
    assert outputs["anomaly_map"].tobytes() == mip.tobytes()[: 4 * count * MAP * MAP]


def free_bytes() -> int:
    free, _ = cuda.mem_get_info()
    return int(free)


def test_batches_of_every_size_answer_as_they_should(device: "Device") -> None:
    with device.current():
        worker = new_worker()
        for seed, count in enumerate((1, BATCH, 3, 1, 2)):
            mip = images(count, seed)
            first = worker.run({"mip": mip})
            second = worker.run({"mip": images(count, seed + 100)})
            assert_answers(first, mip)  # the next batch did not write into it
            assert_answers(second, images(count, seed + 100))
        worker.close()


def test_many_threads_share_two_workers(device: "Device") -> None:
    made: list[int] = []

    def make() -> "CudaWorker":
        made.append(threading.get_ident())
        with device.current():
            return new_worker()

    pool = WorkerPool(make, 2)

    def ask(seed: int) -> None:
        mip = images(1 + seed % BATCH, seed)
        with pool.borrowed() as worker, device.current():
            outputs = worker.run({"mip": mip})
        assert_answers(outputs, mip)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(200)))
    assert 1 <= len(made) <= 2
    with device.current():
        pool.close()
    with pytest.raises(BackendError, match="closed"), pool.borrowed():
        pass


def test_what_a_worker_holds_is_free_again_once_it_is_closed(device: "Device") -> None:
    with device.current():
        new_worker().close()
        before = free_bytes()
        for _ in range(5):
            worker = new_worker()
            worker.run({"mip": images(2, 1)})
            assert free_bytes() < before
            worker.close()
            del worker
        assert free_bytes() >= before


def test_without_memory_nothing_is_kept(device: "Device") -> None:
    with device.current():
        context = CopyingContext()
        before = free_bytes()
        small, large = specs()[:2], ours.TensorSpec("anomaly_map", False, np.uint8, (1 << 38,))
        with pytest.raises(ours.CudaError):
            ours.CudaWorker(context, [*small, large], lambda: "")
        assert free_bytes() >= before
        again = new_worker(context)
        assert_answers(again.run({"mip": images(2, 1)}), images(2, 1))
        again.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda context: setattr(context, "starts", False), "did not start the run (.*the reason"),
        (lambda context: setattr(context, "larger", 100), "states the shape"),
    ],
)
def test_a_refused_run_says_why_and_the_next_one_is_right(
    device: "Device", change: Callable[[CopyingContext], None], message: str
) -> None:
    with device.current():
        context = CopyingContext()
        worker = new_worker(context)
        change(context)
        with pytest.raises(BackendError, match=message.replace("(", r"\(")):
            worker.run({"mip": images(2, 1)})
        context.starts, context.larger = True, 1
        assert_answers(worker.run({"mip": images(2, 2)}), images(2, 2))
        with pytest.raises(BackendError, match="refuses `mip`"):
            worker.run({"mip": images(BATCH + 1, 1)})
        worker.close()


def test_a_device_opens_and_closes_on_any_thread() -> None:
    def whole_life(seed: int) -> None:
        device = ours.Device()
        with device.current():
            worker = new_worker()
            assert_answers(worker.run({"mip": images(2, seed)}), images(2, seed))

        def end() -> None:
            with device.current():
                worker.close()
            device.close()

        other = threading.Thread(target=end)
        other.start()
        other.join()

    for seed in range(3):
        whole_life(seed)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(whole_life, range(8)))


PRELUDE = "from test_cuda_worker import *\n"
KERNEL_FAILS = """
device = ours.Device()
with device.current():
    worker = new_worker()
    cuda.module_from_buffer(TRAP).get_function("fails")(block=(1, 1, 1), stream=worker._stream)
    try:
        worker.run({"mip": images(2, 1)})
    except ours.CudaError as error:
        print("CudaError", type(error).__name__, error)
with device.current():
    worker.close()
device.close()
print("closed")
"""
NOT_CLOSED = """
device = ours.Device()
with device.current():
    worker = new_worker()
    worker.run({"mip": images(2, 1)})
print("closed")
"""
FAILS_INSIDE = """
device = ours.Device()
try:
    with device.current():
        worker = new_worker()
        raise KeyError
except KeyError:
    print("closed")
"""


@pytest.mark.parametrize("program", [KERNEL_FAILS, NOT_CLOSED, FAILS_INSIDE], ids=["kernel", "not closed", "inside"])
def test_a_process_ends_well_whatever_happened(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    assert "closed" in done.stdout
    if program == KERNEL_FAILS:
        assert "CudaError" in done.stdout


class FakeEngine:
    """Has the tensors of FCDD's engines; its contexts are stand-ins that copy bytes."""

    num_io_tensors = 3

    def get_tensor_name(self, index: int) -> str:
        return ("mip", "score", "anomaly_map")[index]

    def get_tensor_dtype(self, name: str) -> str:
        return "uint8" if name == "mip" else "float32"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return {"mip": (-1, 1, SIZE, SIZE), "score": (-1, 1), "anomaly_map": (-1, 1, MAP, MAP)}[name]

    def create_execution_context(self) -> CopyingContext:
        return CopyingContext()


def opened_backend(monkeypatch: pytest.MonkeyPatch, plan: bytes = b"a plan") -> Any:
    """Open a backend as its constructor does, with a TensorRT that is not there."""
    runtime = SimpleNamespace(deserialize_cuda_engine=lambda given: FakeEngine() if given == b"a plan" else None)
    library = SimpleNamespace(
        Runtime=lambda _: runtime, DataType=SimpleNamespace(UINT8="uint8", FLOAT="float32"), __version__="1"
    )
    log = SimpleNamespace(logger=None, last_error=lambda: "the reason")
    monkeypatch.setattr(tensorrt, "load_library", lambda _: library)
    monkeypatch.setattr(tensorrt, "library_log", lambda _: log)
    worker = ours.CudaWorker

    def with_stream(context: CopyingContext, *given: Any) -> "CudaWorker":
        made = worker(context, *given)
        context.stream = made._stream
        return made

    monkeypatch.setattr(tensorrt, "CudaWorker", with_stream)
    backend = tensorrt.TensorRTBackend.__new__(tensorrt.TensorRTBackend)
    backend.contract = make_contract(target="tensorrt-rtx", max_batch_size=BATCH)
    identity: Any = SimpleNamespace(flavour="tensorrt-rtx", version_compatible=False)
    backend._open(identity, plan)
    return backend


def finite_images(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Images whose bytes are finite numbers, taken for float32."""
    return images(count, seed) // np.uint8(4)


def assert_infers(backend: Any, seed: int) -> None:
    mip = finite_images(1 + seed % BATCH, seed)
    scores, maps = backend.infer({"mip": mip})
    assert_answers({"score": scores[:, None], "anomaly_map": maps[:, None]}, mip)


def test_a_backend_answers_many_threads_and_closes_once_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = opened_backend(monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(assert_infers, backend, seed) for seed in range(64)]
        asked[20].result()
        closing = threads.submit(backend.close)
        closing.result()
        outcomes = [one.exception() for one in asked]
    assert not [error for error in outcomes if error is not None and "closed" not in str(error)]
    with pytest.raises(BackendError, match="closed"):
        assert_infers(backend, 1)


def test_a_backend_that_was_closed_can_be_closed_again_and_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        backend = opened_backend(monkeypatch)
        assert_infers(backend, seed)
        backend.close()
        backend.close()


def test_a_refused_plan_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        with pytest.raises(BackendError, match="cannot load the engine .the reason"):
            opened_backend(monkeypatch, b"of another GPU")
    backend = opened_backend(monkeypatch)
    assert_infers(backend, 1)
    backend.close()


def test_a_batch_that_the_engine_does_not_take_is_refused_and_the_next_one_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = opened_backend(monkeypatch)
    with pytest.raises(BackendError, match="refuses `mip`"):
        backend.infer({"mip": finite_images(BATCH + 1, 1)})
    assert_infers(backend, 2)
    backend.close()
