"""A model repository through retries, interruptions and exports at the same time."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fcdd_export.gate.proven_model import ExportRecord, ProvenModel
from fcdd_export.repository.config_pbtxt import config_text
from fcdd_export.repository.write import write_model, write_models
from fcdd_runtime import files
from fcdd_runtime.backends.golden import GoldenVectors, read_golden
from fcdd_runtime.contract import (
    SCHEMA_VERSION,
    Display,
    EngineSource,
    MipRecipe,
    ModelContract,
    Resize,
    Target,
    Upsampling,
    read_contract,
)
from fcdd_runtime.errors import RepositoryError
from fcdd_runtime.files import sha256_of

GOLDEN = Path(__file__).parents[2] / "data" / "config"


def contract(target: Target = "python") -> ModelContract:
    return ModelContract(
        schema_version=SCHEMA_VERSION,
        name="fcdd_fp16",
        network="FCDD_CNN224",
        objective="fcdd",
        inputs=("mip",),
        resize=Resize("squash", 224, 224),
        recipe=MipRecipe(),
        map_shape=(28, 28),
        map_kind="fcdd",
        upsampling=Upsampling(8, 59, 0.0, 8.0),
        display=Display(0.97, (0.0, 1.0)),
        operating_point=None,
        precision="fp16",
        target=target,
        artefact="model.onnx",
        max_batch_size=8,
        mean=(0.2,) * 3,
        std=(0.1,) * 3,
        snapshot_sha256="0" * 64,
        artefact_sha256=sha256_of(b"graph"),
        engine_source=EngineSource("model.onnx", "golden.npz", "ef" * 32),
        versions={"fcdd-edge": "0.1.0"},
    )


def verified(artefact: bytes = b"graph", target: Target = "python") -> ProvenModel:
    golden = GoldenVectors(
        np.zeros((1, 1, 224, 224), np.uint8), np.ones(1, np.float32), np.ones((1, 28, 28), np.float32), None, 0.01
    )
    return ProvenModel(
        replace(contract(target), artefact_sha256=sha256_of(artefact)),
        {"model.onnx": artefact},
        golden,
        ExportRecord("fcdd-export", "a machine", 1.0, 100.0, (), ()),
    )


def artefact_of(folder: Path) -> bytes:
    return (folder / read_contract(folder).artefact).read_bytes()


def served_versions(folder: Path) -> list[int]:
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    return list(config.version_policy.specific.versions)


def versions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_another_model_becomes_the_next_version_and_is_the_one_that_is_served(tmp_path: Path) -> None:
    for number, artefact in enumerate((b"one", b"two"), start=1):
        folder = write_model(verified(artefact), tmp_path / "repo")
        assert (artefact_of(folder), served_versions(folder)) == (artefact, [number])
    assert (folder / "1" / "model.onnx").read_bytes() == b"one"


def test_the_same_model_keeps_its_version(tmp_path: Path) -> None:
    for _ in range(2):
        folder = write_model(verified(), tmp_path / "repo")
    assert versions(folder) == ["1"]
    assert served_versions(folder) == [1]


def test_a_changed_contract_alone_is_another_version(tmp_path: Path) -> None:
    model = verified()
    write_model(model, tmp_path / "repo")
    folder = write_model(replace(model, contract=replace(model.contract, max_batch_size=4)), tmp_path / "repo")
    assert served_versions(folder) == [2]


def test_only_the_last_versions_stay(tmp_path: Path) -> None:
    for artefact in (b"one", b"two", b"three", b"four"):
        folder = write_model(verified(artefact), tmp_path / "repo", kept=2)
    assert versions(folder) == ["3", "4"]


def test_a_former_version_can_be_served_again_by_copying_its_files_up(tmp_path: Path) -> None:
    write_model(verified(b"one"), tmp_path / "repo")
    folder = write_model(verified(b"two"), tmp_path / "repo")
    for name in ("config.pbtxt", "contract.json", "golden.npz"):
        (folder / name).write_bytes((folder / "1" / name).read_bytes())
    assert (artefact_of(folder), served_versions(folder)) == (b"one", [1])
    assert read_golden(folder).scores == [1]


def links_fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK])
def test_a_repository_without_hard_links_keeps_its_former_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    links_fail(monkeypatch, number)
    write_model(verified(b"one"), tmp_path / "repo")
    folder = write_model(verified(b"two"), tmp_path / "repo")
    assert (folder / "1" / "model.onnx").read_bytes() == b"one"
    assert artefact_of(folder) == b"two"


@pytest.mark.parametrize(("number", "words"), [(errno.EIO, "cannot be written to"), (errno.ENOSPC, "has no room")])
def test_a_former_version_that_cannot_be_kept_is_one_sentence_without_the_drafts_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    folder = write_model(verified(b"one"), tmp_path / "repo")
    links_fail(monkeypatch, number)
    with pytest.raises(RepositoryError, match=words) as refusal:
        write_model(verified(b"two"), tmp_path / "repo")
    assert os.strerror(number) in str(refusal.value)
    assert "drafts" not in str(refusal.value)
    assert artefact_of(folder) == b"one"


def named(name: str, artefact: bytes = b"graph") -> ProvenModel:
    model = verified(artefact)
    return replace(model, contract=replace(model.contract, name=name))


def a_file(path: Path) -> None:
    path.write_bytes(b"notes")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def a_link_to_a_folder(path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir()
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("occupy", "words"),
    [(a_file, "is no folder"), (a_dangling_link, "is a symbolic link"), (a_link_to_a_folder, "is a symbolic link")],
)
def test_what_is_no_model_folder_is_not_replaced_and_no_other_model_is_written(
    tmp_path: Path, occupy: Callable[[Path], None], words: str
) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    occupy(repo / "second")
    before = os.lstat(repo / "second")
    with pytest.raises(RepositoryError, match=f"second {words}, .*; move it away"):
        write_models([named("first"), named("second")], repo)
    assert os.lstat(repo / "second") == before
    assert [path.name for path in repo.iterdir()] == ["second"]


def test_a_file_with_a_number_for_a_name_is_no_version(tmp_path: Path) -> None:
    folder = write_model(verified(b"one"), tmp_path / "repo")
    (folder / "9999").write_bytes(b"notes")
    assert served_versions(write_model(verified(b"two"), tmp_path / "repo")) == [2]


def test_two_models_of_the_same_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same name"):
        write_models([named("one"), named("one")], tmp_path / "repo")
    assert not (tmp_path / "repo").exists()


def swaps_fail(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Let the swaps from the first to the last, counted from 1, fail as on a file system that went read-only."""
    numbers, swap = count(1), files._swap

    def failing(*paths: Path) -> None:
        if first <= next(numbers) <= last:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        swap(*paths)

    monkeypatch.setattr(files, "_swap", failing)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_where_one_model_cannot_take_its_place_all_stay_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    repo = tmp_path / "repo"
    write_models([named("first", b"one"), named("last", b"one")], repo)
    before = contents(repo)
    swaps_fail(monkeypatch, failing, failing)
    with pytest.raises(RepositoryError, match="Read-only file system"):
        write_models([named("first", b"two"), named("new", b"two"), named("last", b"two")], repo)
    assert contents(repo) == before
    assert sorted(path.name for path in repo.iterdir()) == ["first", "last"]
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]


def test_a_model_that_cannot_be_put_back_is_named_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = tmp_path / "repo"
    write_models([named("first", b"one"), named("last", b"one")], repo)
    swaps_fail(monkeypatch, 2, 3)
    with pytest.raises(RepositoryError, match=f"{repo / 'last'} could not be put back; export again"):
        write_models([named("first", b"two"), named("last", b"two")], repo)
    assert [artefact_of(repo / name) for name in ("first", "last")] == [b"one", b"two"]


def test_exports_at_the_same_time_each_become_a_version_and_none_is_torn(tmp_path: Path) -> None:
    models = [verified(f"graph {index}".encode()) for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda model: write_model(model, tmp_path / "repo", kept=8), models))
    folder = tmp_path / "repo" / "fcdd_fp16"
    assert versions(folder) == [str(number) for number in range(1, 9)]
    for number in versions(folder):
        described = json.loads((folder / number / "contract.json").read_text())
        assert sha256_of((folder / described["artefact"]).read_bytes()) == described["artefact_sha256"]
    assert {path.name for path in tmp_path.iterdir()} == {"repo"}


def test_exports_into_repositories_side_by_side_do_not_notice_each_other(tmp_path: Path) -> None:
    repositories = [tmp_path / name for name in ("one", "two", "three", "four")]
    with ThreadPoolExecutor(len(repositories)) as pool:
        for number in range(6):
            model = verified(f"graph {number}".encode())
            list(pool.map(lambda repository: write_model(model, repository), repositories))  # noqa: B023
    for repository in repositories:
        folder = repository / "fcdd_fp16"
        assert sha256_of(artefact_of(folder)) == read_contract(folder).artefact_sha256
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "three", "four"}


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_repository import verified
from fcdd_export.repository.write import write_model
number = 0
print("writing", flush=True)
while True:
    number += 1
    write_model(verified(f"graph {number}".encode()), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("delay", [0.0, 0.013, 0.029, 0.041])
def test_a_killed_export_leaves_a_whole_model_and_the_next_one_cleans_up(tmp_path: Path, delay: float) -> None:
    repo = tmp_path / "repo"
    write_model(verified(b"first"), repo)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(repo)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
    folder = repo / "fcdd_fp16"
    assert sha256_of(artefact_of(folder)) == read_contract(folder).artefact_sha256
    write_model(verified(b"last"), repo)
    assert artefact_of(folder) == b"last"
    assert [path.name for path in tmp_path.iterdir()] == ["repo"]
    assert [path.name for path in repo.iterdir()] == ["fcdd_fp16"]


@pytest.mark.parametrize("target", ["tensorrt", "onnxruntime", "python"])
def test_the_three_forms_have_the_configuration_that_triton_expects(target: Target) -> None:
    """The expected texts were written by hand from Triton's model configuration reference."""
    text = config_text(contract(target), verified().golden, version=3)
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert json.loads(config.parameters.pop("contract").string_value)["target"] == target
    assert config.parameters.pop("golden").string_value
    expected = text_format.Parse((GOLDEN / f"{target}.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert config == expected
