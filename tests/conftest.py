"""What several test modules share: reference cases, a small snapshot, an exported repository and its server."""

import contextlib
import dataclasses
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fcdd_benchmarks.export_cost.drawn_snapshot import write_drawn_snapshot
from fcdd_export.convert import ExportRequest, export_models
from fcdd_export.gate.images import VerificationImages
from fcdd_export.networks.snapshot import NORMALIZATION_FILE, Normalization, load_snapshot
from fcdd_runtime.contract import MipRecipe, OperatingPoint, Precision
from fcdd_runtime.serving.triton_process import ServerOptions, running_server
from support import (
    DATA,
    REFERENCE_VARIABLE,
    ExportSnapshot,
    PublishedCase,
    WriteSnapshot,
    free_ports,
    published_case,
)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder that holds the published code's reference cases, which are too large for the repository."""
    folder = os.environ.get(REFERENCE_VARIABLE)
    if not folder:
        pytest.skip(f"{REFERENCE_VARIABLE} is unset: it names the folder with upstream_cases, real_mr and trained_vgg")
    return Path(folder)


@pytest.fixture(scope="session")
def write_reference_snapshot(reference_data: Path) -> Callable[..., Path]:
    """The reference cases' own generator of seeded snapshots."""
    path = reference_data / "upstream_cases" / "make_snapshot.py"
    spec = importlib.util.spec_from_file_location("make_snapshot", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write: Callable[..., Path] = module.write_snapshot
    return write


@pytest.fixture(scope="session")
def write_snapshot() -> WriteSnapshot:
    """Write a snapshot of seeded random weights in the published layout."""

    def write(folder: Path, normalization: bool = True, seed: int = 0, **config: Any) -> Path:
        write_drawn_snapshot(folder, config, seed)
        if not normalization:
            (folder / NORMALIZATION_FILE).unlink()
        return folder

    return write


@pytest.fixture(scope="session")
def small_case() -> PublishedCase:
    """FCDD_CNN224, which is small enough to lie in the repository."""
    root = DATA / "upstream_cases"
    return published_case(root, root / "FCDD_CNN224_seed7_aug1", "FCDD_CNN224_seed7_aug1_std8")


@pytest.fixture(scope="session")
def vgg_case(
    reference_data: Path, write_reference_snapshot: WriteSnapshot, tmp_path_factory: pytest.TempPathFactory
) -> PublishedCase:
    """FCDD_CNN224_VGG_NOPT, whose weights the reference data's own generator makes."""
    snapshot = write_reference_snapshot("FCDD_CNN224_VGG_NOPT", 7, tmp_path_factory.mktemp("vgg"))
    return published_case(reference_data / "upstream_cases", snapshot, "FCDD_CNN224_VGG_NOPT_seed7_none_std10")


@pytest.fixture(scope="session")
def compared_cases(
    reference_data: Path, write_reference_snapshot: WriteSnapshot, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, PublishedCase]:
    """The networks that the paper compares FCDD with, by short names."""
    nets = {"hsc": "CNN224_CROP", "bce": "VGG_BCE_CROP", "ref": "FCDD_REF_CNN224_VGG_NOPT"}
    root, snapshots = reference_data / "upstream_cases", tmp_path_factory.mktemp("compared")
    return {
        name: published_case(root, write_reference_snapshot(net, 7, snapshots / name), f"{net}_seed7_none_std10")
        for name, net in nets.items()
    }


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> ExportSnapshot:
    """Export a snapshot as `NAME_PRECISION` and return the model folder."""

    def exported(snapshot: Path, name: str, precision: Precision, repository: Path, **changes: Any) -> Path:
        trained = load_snapshot(snapshot)
        request = ExportRequest(
            snapshot=trained,
            normalization=trained.normalization or Normalization((0.2,) * 3, (0.1,) * 3),
            precisions=(precision,),
            target="python",
            verification=VerificationImages((), None),
            recipe=MipRecipe(),
            operating_point=None,
            name=name,
            max_batch_size=8,
            repository=repository,
            command="fcdd-export",
        )
        [(_, folder)] = export_models(dataclasses.replace(request, **changes))
        return folder

    return exported


@pytest.fixture(scope="session")
def repository(
    tmp_path_factory: pytest.TempPathFactory,
    write_snapshot: WriteSnapshot,
    export: ExportSnapshot,
    small_case: PublishedCase,
    request: pytest.FixtureRequest,
) -> Path:
    """A model repository with `small_fp32`, `small_fp16`, and the published cases `cnn_fp32` and `vgg_fp32`."""
    folder = tmp_path_factory.mktemp("repository")
    snapshot = write_snapshot(tmp_path_factory.mktemp("small"))
    point = OperatingPoint(0.5, None, "chosen for the tests")
    export(snapshot, "small", "fp32", folder, operating_point=point)
    export(snapshot, "small", "fp16", folder)
    cases = {"cnn": small_case}
    if os.environ.get(REFERENCE_VARIABLE):
        cases["vgg"] = request.getfixturevalue("vgg_case")
    export_cases(cases, export, folder)
    return folder


@pytest.fixture(scope="session")
def compared_repository(
    tmp_path_factory: pytest.TempPathFactory, export: ExportSnapshot, compared_cases: dict[str, PublishedCase]
) -> Path:
    """A model repository with `hsc_fp32`, `bce_fp32` and `ref_fp32`; apart from the other, since the last is large."""
    folder = tmp_path_factory.mktemp("compared_repository")
    export_cases(compared_cases, export, folder)
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Triton server on `repository`: `grpc://HOST:PORT`."""
    with served(repository, tmp_path_factory.mktemp("triton") / "log") as address:
        yield address


@pytest.fixture(scope="session")
def compared_server(compared_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same on `compared_repository`."""
    with served(compared_repository, tmp_path_factory.mktemp("triton") / "log") as address:
        yield address


def export_cases(cases: dict[str, PublishedCase], export: ExportSnapshot, folder: Path) -> None:
    for name, case in cases.items():
        mean, std = (tuple(float(value) for value in case.expected[key]) for key in ("mean", "std"))
        export(case.snapshot, name, "fp32", folder, normalization=Normalization(mean, std))


@contextlib.contextmanager
def served(repository: Path, log: Path) -> Iterator[str]:
    grpc, metrics = free_ports(2)
    with running_server(ServerOptions(repository, "127.0.0.1", grpc, metrics, log)):
        yield f"grpc://127.0.0.1:{grpc}"
