"""`python -m fcdd_benchmarks.gpu_check`: every precision on every GPU backend that is here, checked, then timed.

What is not here, down to the GPU itself, is named in the summary and is no failure: this runs on any machine.
"""

import contextlib
import dataclasses
import importlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from fcdd_benchmarks.gpu_check.backends import (
    Opened,
    cuda_refusal,
    open_engine,
    open_on_cuda,
    served_plan,
    triton_refusal,
)
from fcdd_benchmarks.gpu_check.timing import Latency, measure_latency
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_runtime.backends.golden import SelfTest, read_golden, self_test
from fcdd_runtime.backends.gpu import Gpu, find_gpu
from fcdd_runtime.backends.tensorrt.library import FLAVOURS, PACKAGES, Flavour, installed_flavours
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.contract import CONTRACT_FILE, ModelContract, read_contract
from fcdd_runtime.errors import ContractError, FcddError, GateError
from fcdd_runtime.files import replaced_file

MODULES = {"onnxruntime": "onnxruntime", **{flavour: package.module for flavour, package in PACKAGES.items()}}
"""What is imported for what runs a model."""
BACKENDS = ("ONNX Runtime with CUDA", "TensorRT", "TensorRT-RTX", "Triton with TensorRT")


@dataclass(frozen=True)
class Check:
    """One model on one backend."""

    model: str
    network: str
    precision: str
    backend: str
    """One of `BACKENDS`."""
    version: str
    """Of the library that ran it."""
    golden: SelfTest | None
    """Comparison with the golden vectors; None if it failed."""
    latencies: tuple[Latency, ...]
    failure: str | None
    """Why there are no figures."""
    refused: bool
    """Whether the failure is that of a gate: the answers were wrong."""


@dataclass(frozen=True)
class _Source:
    """An exported ONNX model."""

    folder: Path
    contract: ModelContract


@click.command(context_settings={"show_default": True})
@click.option("--repo", type=PathOption(), default=Path("triton_repo"), help="Repository of exported ONNX models.")
@click.option("--out", type=PathOption(), default=Path("benchmarks/results"), help="Where gpu-NAME.json goes.")
@reporting_errors
def main(repo: Path, out: Path) -> None:
    """Run all exported models on this machine's GPU; ends with 3 if a model answers wrong, with 1 if one fails."""
    gpu = find_gpu()
    if gpu is None:
        click.echo(f"gpu-check: no NVIDIA GPU and driver here, so nothing was run of: {', '.join(BACKENDS)}.")
        return
    with ending_in_order():
        checks, absent = _run_all(_sources(repo))
    click.echo(_summary(gpu, checks, absent))
    click.echo(f"written: {_write(gpu, checks, absent, out)}")
    if any(check.failure for check in checks):
        sys.exit(3 if any(check.refused for check in checks) else 1)


def _sources(repository: Path) -> list[_Source]:
    folders = sorted(path.parent for path in repository.glob(f"[!.]*/{CONTRACT_FILE}"))
    models = [_Source(folder, read_contract(folder)) for folder in folders]
    sources = [model for model in models if model.contract.artefact.endswith(".onnx")]
    if not sources:
        raise ContractError(
            f"{repository} holds no exported ONNX model; write some: fcdd-export --precision fp32 --precision fp16 "
            f"--target python --repo {repository}"
        )
    return sources


def _run_all(sources: list[_Source]) -> tuple[list[Check], list[str]]:
    """Return all checks, and what is not here to be checked."""
    absent = [reason for reason in (cuda_refusal(), triton_refusal()) if reason is not None]
    absent += [f"{PACKAGES[one].title}: not installed" for one in FLAVOURS if one not in installed_flavours()]
    checks: list[Check] = []
    for source in sources:
        if cuda_refusal() is None:
            checks.append(_on_cuda(source))
        for flavour in installed_flavours():
            checks += _on_engine(source, flavour)
    return checks, absent


def _on_cuda(source: _Source) -> Check:
    return _check(source, BACKENDS[0], "onnxruntime", lambda: (open_on_cuda(source.folder), read_golden(source.folder)))


def _on_engine(source: _Source, flavour: Flavour) -> Iterator[Check]:
    """Build an engine, run it in this process and, a full TensorRT's plan, in Triton too."""
    title = PACKAGES[flavour].title
    with tempfile.TemporaryDirectory(prefix="fcdd-gpu-check-") as scratch:
        repository = Path(scratch) / "models"
        yield _check(source, title, flavour, lambda: open_engine(source.folder, flavour, repository))
        built = any(repository.glob(f"*/{CONTRACT_FILE}"))
        if flavour == "tensorrt" and built and triton_refusal() is None:
            with served_plan(repository, Path(scratch) / "triton.log") as opened:
                yield _check(source, BACKENDS[3], flavour, opened)


def _check(source: _Source, name: str, package: str, opened: Callable[[], Opened]) -> Check:
    """Open a backend, compare it with the golden vectors and time it; a failure ends this check only."""
    contract = source.contract
    done: SelfTest | None = None
    latencies: tuple[Latency, ...] = ()
    error: FcddError | None = None
    try:
        backend, golden = opened()
        with contextlib.closing(backend):
            done = self_test(backend, golden)
            latencies = measure_latency(backend, golden)
    except FcddError as caught:
        error = caught
    return Check(
        model=contract.name,
        network=contract.network,
        precision=contract.precision,
        backend=name,
        version=_version(package),
        golden=done,
        latencies=latencies,
        failure=None if error is None else str(error),
        refused=isinstance(error, GateError),
    )


def _version(package: str) -> str:
    return str(importlib.import_module(MODULES[package]).__version__)


def _summary(gpu: Gpu, checks: list[Check], absent: list[str]) -> str:
    lines = [f"gpu-check: {gpu.name}, compute capability {gpu.compute_capability}, driver {gpu.driver}"]
    lines += [_line(check) for check in checks]
    return "\n".join(lines + [f"not here: {reason}" for reason in absent])


def _line(check: Check) -> str:
    where = f"{check.model}  {check.backend} {check.version}"
    if check.golden is None or check.failure is not None:
        return f"{where}  FAILED: {check.failure}"
    times = ", ".join(f"batch {one.batch}: {one.median_ms:.2f} ms (p95 {one.p95_ms:.2f})" for one in check.latencies)
    return f"{where}  score {check.golden.score_error:.1e}, map {check.golden.map_error:.1e}  {times}"


def _write(gpu: Gpu, checks: list[Check], absent: list[str], out: Path) -> Path:
    document = {
        "benchmark": "gpu-check",
        "gpu": dataclasses.asdict(gpu),
        "machine": machine_facts(("fcdd-edge", "numpy", "pydicom", "SimpleITK")),
        "checks": [dataclasses.asdict(check) for check in checks],
        "not_here": absent,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"gpu-{re.sub('[^a-z0-9]+', '-', gpu.name.lower()).strip('-')}.json"
    with replaced_file(path) as fresh:
        fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
