"""Engines at run time: whether they fit, how they are proven, and what is said where something is missing."""

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcdd_runtime.backends import open_folder
from fcdd_runtime.backends.base import Backend, Batch, Maps, Scores
from fcdd_runtime.backends.gpu import Gpu, first_gpu
from fcdd_runtime.backends.onnxruntime import OnnxRuntimeBackend
from fcdd_runtime.backends.tensorrt.identity import EngineIdentity, Profile, check_fits, read_engine
from fcdd_runtime.backends.tensorrt.pool import WorkerPool
from fcdd_runtime.backends.tensorrt.proof import PROOF_FILE, prove_once
from fcdd_runtime.contract import Target, read_contract
from fcdd_runtime.errors import BackendError, ContractError, EngineMismatchError, GateError, MissingExtraError

GPU = Gpu("NVIDIA RTX 4000 Ada Generation", "8.9", "550.54.15", "12.4")
OTHER_GPU = Gpu("NVIDIA RTX A4000", "8.6", "550.54.15", "12.4")
TURING_GPU = Gpu("NVIDIA T4", "7.5", "550.54.15", "12.4")
IDENTITY = EngineIdentity(
    schema_version=1,
    flavour="tensorrt",
    version="10.3.0",
    compute_capabilities=("8.9",),
    gpu=GPU,
    profile=Profile(1, 2, 8),
    onnx_sha256="0" * 64,
    engine_sha256="1" * 64,
    timing_cache_sha256="2" * 64,
    version_compatible=False,
    hardware_compatible=False,
    proven=False,
)
PORTABLE = dataclasses.replace(
    IDENTITY,
    flavour="tensorrt-rtx",
    version="1.7.1",
    compute_capabilities=("8.0", "8.6", "8.9"),
    gpu=None,
    hardware_compatible=True,
)


class CountingBackend(Backend):
    """A model that counts how often it was asked, and may answer scores that are too large."""

    def __init__(self, folder: Path, factor: float = 1.0):
        self._inner = OnnxRuntimeBackend(folder)
        self._factor = factor
        self.contract = self._inner.contract
        self.calls = 0

    def infer(self, batch: Batch) -> tuple[Scores, Maps]:
        self.calls += 1
        scores, maps = self._inner.infer(batch)
        return scores * np.float32(self._factor), maps

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def write_engine_folder(tmp_path: Path, repository: Path) -> Callable[..., Path]:
    """Write a model folder whose artefact is said to be an engine."""

    def write(target: Target = "tensorrt-rtx", plan: bytes = b"a plan", **identity: Any) -> Path:
        digest = hashlib.sha256(plan).hexdigest()
        contract = read_contract(repository / "small_fp16")
        changed = dataclasses.replace(contract, target=target, artefact="1/model.plan", artefact_sha256=digest)
        folder = tmp_path / "engine"
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "model.plan").write_bytes(plan)
        (folder / "contract.json").write_text(changed.to_json())
        (folder / "golden.npz").write_bytes((repository / "small_fp16" / "golden.npz").read_bytes())
        written = dataclasses.replace(PORTABLE, **{"flavour": target, "engine_sha256": digest, **identity})
        (folder / "1" / "engine.json").write_text(written.to_json())
        return folder

    return write


def engine_of(model: Path, folder: Path) -> Path:
    """Copy a model folder, so that a proof can be written into it."""
    (folder / "1").mkdir(parents=True)
    for name in ("contract.json", "golden.npz", "1/model.onnx"):
        (folder / name).write_bytes((model / name).read_bytes())
    return folder


@pytest.mark.parametrize(
    ("identity", "version", "gpu"),
    [
        (IDENTITY, "10.3.0", GPU),
        (dataclasses.replace(IDENTITY, version_compatible=True), "10.14.1", GPU),
        (dataclasses.replace(IDENTITY, hardware_compatible=True), "10.3.0", OTHER_GPU),
        (PORTABLE, "1.7.1", GPU),
        (PORTABLE, "1.7.1", OTHER_GPU),
    ],
    ids=["where it was built", "later release", "later GPU", "RTX", "RTX on another GPU"],
)
def test_an_engine_that_fits_is_let_through(identity: EngineIdentity, version: str, gpu: Gpu) -> None:
    check_fits(identity, version, gpu, Path("models/fcdd_fp16"))


@pytest.mark.parametrize(
    ("identity", "version", "gpu"),
    [
        (IDENTITY, "10.14.1", GPU),
        (IDENTITY, "10.3.0", OTHER_GPU),
        (IDENTITY, "10.3.0", dataclasses.replace(GPU, name="NVIDIA L4")),
        (dataclasses.replace(IDENTITY, version_compatible=True), "10.2.9", GPU),
        (dataclasses.replace(IDENTITY, version_compatible=True), "11.0.0", GPU),
        (
            dataclasses.replace(IDENTITY, hardware_compatible=True),
            "10.3.0",
            dataclasses.replace(GPU, compute_capability="7.5"),
        ),
        (PORTABLE, "1.8.0", GPU),
        (PORTABLE, "1.7.1", dataclasses.replace(GPU, compute_capability="9.0")),
    ],
    ids=["version", "GPU", "same generation", "earlier", "next major", "Turing", "RTX version", "RTX generation"],
)
def test_an_engine_that_does_not_fit_names_both_sides_and_the_command(
    identity: EngineIdentity, version: str, gpu: Gpu
) -> None:
    with pytest.raises(EngineMismatchError) as raised:
        check_fits(identity, version, gpu, Path("models/fcdd_fp16"))
    message = str(raised.value)
    assert identity.version in message and version in message
    assert identity.compute_capabilities[0] in message and gpu.compute_capability in message and gpu.name in message
    assert f"fcdd-export models/fcdd_fp16 --target {identity.flavour}" in message


def test_an_identity_survives_its_file() -> None:
    for identity in (IDENTITY, PORTABLE):
        assert EngineIdentity.from_json(identity.to_json()) == identity


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", IDENTITY.to_json().replace('"8.9"', "8.9"), IDENTITY.to_json().replace('": 1,', '": 2,', 1)],
    ids=["empty", "list", "nothing in it", "number for text", "another schema"],
)
def test_a_damaged_identity_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="build the engine"):
        EngineIdentity.from_json(text)


def test_an_engine_is_read_with_its_identity(write_engine_folder: Callable[..., Path]) -> None:
    folder = write_engine_folder()
    identity, plan = read_engine(folder, read_contract(folder))
    assert (identity.flavour, plan) == ("tensorrt-rtx", b"a plan")


@pytest.mark.parametrize("changed", ["model.plan", "engine.json"])
def test_an_engine_without_one_of_its_files_is_refused(changed: str, write_engine_folder: Callable[..., Path]) -> None:
    folder = write_engine_folder()
    (folder / "1" / changed).unlink()
    with pytest.raises(ContractError, match="build the engine again"):
        read_engine(folder, read_contract(folder))


@pytest.mark.parametrize(
    "identity", [{"engine_sha256": "3" * 64}, {"flavour": "tensorrt"}, {"profile": Profile(1, 2, 4)}]
)
def test_an_engine_that_is_not_the_contracts_is_refused(
    identity: dict[str, Any], write_engine_folder: Callable[..., Path]
) -> None:
    folder = write_engine_folder(**identity)
    with pytest.raises(ContractError, match="build the engine again"):
        read_engine(folder, read_contract(folder))


def test_a_changed_plan_is_refused(write_engine_folder: Callable[..., Path]) -> None:
    folder = write_engine_folder()
    (folder / "1" / "model.plan").write_bytes(b"another plan")
    with pytest.raises(ContractError, match="is not the engine"):
        read_engine(folder, read_contract(folder))


def test_a_new_engine_is_proven_once_and_the_proof_is_kept(repository: Path, tmp_path: Path) -> None:
    folder = engine_of(repository / "small_fp16", tmp_path / "engine")
    first, second = CountingBackend(folder), CountingBackend(folder)
    prove_once(first, folder, IDENTITY, "10.3.0", GPU)
    prove_once(second, folder, IDENTITY, "10.3.0", GPU)
    assert (first.calls > 0, second.calls) == (True, 0)
    proof = json.loads((folder / "1" / PROOF_FILE).read_text())
    assert (proof["gpu"]["name"], proof["engine_sha256"]) == (GPU.name, IDENTITY.engine_sha256)


@pytest.mark.parametrize(
    ("identity", "version", "gpu"),
    [
        (dataclasses.replace(IDENTITY, engine_sha256="4" * 64), "10.3.0", GPU),
        (IDENTITY, "10.3.1", GPU),
        (IDENTITY, "10.3.0", dataclasses.replace(GPU, driver="560.35")),
    ],
    ids=["another engine", "another library", "another driver"],
)
def test_a_proof_holds_for_its_engine_library_and_driver_only(
    identity: EngineIdentity, version: str, gpu: Gpu, repository: Path, tmp_path: Path
) -> None:
    folder = engine_of(repository / "small_fp16", tmp_path / "engine")
    prove_once(CountingBackend(folder), folder, IDENTITY, "10.3.0", GPU)
    again = CountingBackend(folder)
    prove_once(again, folder, identity, version, gpu)
    assert again.calls > 0


def test_an_engine_that_its_builder_proved_on_this_gpu_is_not_proven_again(repository: Path) -> None:
    backend = CountingBackend(repository / "small_fp16")
    proven = dataclasses.replace(IDENTITY, proven=True)
    prove_once(backend, repository / "small_fp16", proven, "10.3.0", GPU)
    assert backend.calls == 0


def test_an_engine_that_answers_wrong_is_refused_and_leaves_no_proof(repository: Path, tmp_path: Path) -> None:
    folder = engine_of(repository / "small_fp16", tmp_path / "engine")
    with pytest.raises(GateError, match="is not the model that was verified"):
        prove_once(CountingBackend(folder, factor=1.1), folder, IDENTITY, "10.3.0", GPU)
    assert {path.name for path in (folder / "1").iterdir()} == {"model.onnx"}


def test_a_damaged_proof_counts_for_nothing(repository: Path, tmp_path: Path) -> None:
    folder = engine_of(repository / "small_fp16", tmp_path / "engine")
    (folder / "1" / PROOF_FILE).write_text('{"engine_sha256": ')
    backend = CountingBackend(folder)
    prove_once(backend, folder, IDENTITY, "10.3.0", GPU)
    assert backend.calls > 0


def test_where_no_proof_can_be_written_the_engine_is_proven_every_time(repository: Path, tmp_path: Path) -> None:
    folder = engine_of(repository / "small_fp16", tmp_path / "engine")
    # A folder in the file's place is what even root cannot write over.
    (folder / "1" / PROOF_FILE / "in the way").mkdir(parents=True)
    for _ in range(2):
        backend = CountingBackend(folder)
        prove_once(backend, folder, IDENTITY, "10.3.0", GPU)
        assert backend.calls > 0


@pytest.mark.parametrize(("target", "extra"), [("tensorrt", "tensorrt"), ("tensorrt-rtx", "rtx")])
def test_an_engine_without_pycuda_names_the_extra(
    target: Target, extra: str, write_engine_folder: Callable[..., Path]
) -> None:
    try:
        import pycuda.driver  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        with pytest.raises(MissingExtraError, match=rf"needs pycuda: pip install 'fcdd-edge\[{extra}\]'"):
            open_folder(write_engine_folder(target))
    except ImportError:
        with pytest.raises(BackendError, match="needs an NVIDIA GPU and its driver"):
            open_folder(write_engine_folder(target))
    else:
        pytest.skip("pycuda and a driver are here")


def test_an_onnx_model_opens_with_onnx_runtime(repository: Path) -> None:
    with open_folder(repository / "small_fp32") as backend:
        assert isinstance(backend, OnnxRuntimeBackend)


class Worker:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_threads_share_as_many_workers_as_the_pool_may_have() -> None:
    made: list[Worker] = []
    lock, inside, most = threading.Lock(), [0], [0]

    def make() -> Worker:
        made.append(Worker())
        return made[-1]

    pool = WorkerPool(make, 2)
    meet = threading.Barrier(2)

    def work(index: int) -> None:
        with pool.borrowed() as worker:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            if index < 2:
                meet.wait(30)  # the first two are inside together
            assert not worker.closed
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later = [threading.Thread(target=work, args=(index,)) for index in range(2, 12)]
    for thread in later:
        thread.start()
    for thread in later:
        thread.join()
    assert (len(made), most[0]) == (2, 2)
    pool.close()
    assert all(worker.closed for worker in made)


def test_a_lone_thread_keeps_to_one_worker_even_after_a_failure() -> None:
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker())
        return made[-1]

    pool = WorkerPool(make, 2)
    with pytest.raises(BackendError), pool.borrowed():
        raise BackendError("the run failed")
    with pool.borrowed() as worker:
        assert [worker] == made


def test_a_worker_that_cannot_be_made_leaves_its_place_free() -> None:
    def fail() -> Worker:
        raise BackendError("no memory")

    pool = WorkerPool(fail, 1)
    for _ in range(2):
        with pytest.raises(BackendError, match="no memory"), pool.borrowed():
            pass
    pool.close()


def test_a_closed_pool_lends_nothing() -> None:
    pool = WorkerPool(Worker, 2)
    pool.close()
    pool.close()
    with pytest.raises(BackendError, match="was closed"), pool.borrowed():
        pass


class Driver:
    """CUDA's driver interface, as far as it is asked for the first GPU."""

    def __init__(self, devices: int = 1):
        self.devices = devices

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return 0 if ordinal < self.devices else 101

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = GPU.name.encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, number: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 9}[number]
        return 0

    def cuDriverGetVersion(self, value: Any) -> int:  # noqa: N802
        value._obj.value = 12040
        return 0


def test_the_driver_names_the_gpu() -> None:
    gpu = first_gpu(Driver())
    assert gpu is not None
    assert (gpu.name, gpu.compute_capability, gpu.cuda) == (GPU.name, "8.9", "12.4")


def test_a_driver_without_a_gpu_shows_none() -> None:
    assert first_gpu(Driver(devices=0)) is None
