"""`python -m fcdd_benchmarks.gpu_check`: every precision on every GPU backend that is here, checked, then timed.

What is not here, down to the GPU itself, is named in the summary and is no failure: this runs on any machine.
"""

import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from fcdd_benchmarks.gpu_check.backends import (
    cuda_refusal,
    opened_engine,
    opened_on_cuda,
    opened_plan,
    triton_refusal,
)
from fcdd_benchmarks.gpu_check.check import Check, check
from fcdd_benchmarks.report.machine import this_machine
from fcdd_runtime.backends.gpu import find_gpu
from fcdd_runtime.backends.tensorrt.library import FLAVOURS, PACKAGES, installed_flavours
from fcdd_runtime.commands import PathOption, ending_in_order, reporting_errors
from fcdd_runtime.contract import CONTRACT_FILE, read_contract
from fcdd_runtime.errors import ContractError
from fcdd_runtime.files import replaced_file

ON_CUDA, ON_TRITON = "ONNX Runtime with CUDA", "Triton with TensorRT"
BACKENDS = (ON_CUDA, *(package.title for package in PACKAGES.values()), ON_TRITON)


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
    absent = [reason for reason in (cuda_refusal(), triton_refusal()) if reason is not None]
    absent += [f"{PACKAGES[name].title}: not installed" for name in FLAVOURS if name not in installed_flavours()]
    with ending_in_order():
        checks = [done for folder in _onnx_models(repo) for done in _checks(folder)]
    click.echo(f"gpu-check: {gpu.name}, compute capability {gpu.compute_capability}, driver {gpu.driver}")
    for line in (*map(_line, checks), *(f"not here: {reason}" for reason in absent)):
        click.echo(line)
    document = {
        "benchmark": "gpu-check",
        "gpu": dataclasses.asdict(gpu),
        "machine": dataclasses.asdict(this_machine(("fcdd-edge", "numpy", "pydicom", "SimpleITK"))),
        "checks": [dataclasses.asdict(done) for done in checks],
        "not_here": absent,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"gpu-{re.sub('[^a-z0-9]+', '-', gpu.name.lower()).strip('-')}.json"
    with replaced_file(path) as fresh:
        fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    click.echo(f"written: {path}")
    if any(done.failure for done in checks):
        sys.exit(3 if any(done.refused for done in checks) else 1)


def _onnx_models(repository: Path) -> list[Path]:
    folders = sorted(path.parent for path in repository.glob(f"[!.]*/{CONTRACT_FILE}"))
    models = [folder for folder in folders if read_contract(folder).artefact.endswith(".onnx")]
    if not models:
        raise ContractError(
            f"{repository} holds no exported ONNX model; write some: fcdd-export --precision fp32 --precision fp16 "
            f"--target python --repo {repository}"
        )
    return models


def _checks(folder: Path) -> Iterator[Check]:
    """Run a model with CUDA, and an engine of each TensorRT here: in this process, and a full TensorRT's in Triton."""
    contract = read_contract(folder)
    if cuda_refusal() is None:
        yield check(contract, ON_CUDA, "onnxruntime", opened_on_cuda(folder))
    for flavour in installed_flavours():
        with tempfile.TemporaryDirectory(prefix="fcdd-gpu-check-") as scratch:
            repository = Path(scratch) / "models"
            yield check(contract, PACKAGES[flavour].title, flavour, opened_engine(folder, flavour, repository))
            built = any(repository.glob(f"*/{CONTRACT_FILE}"))
            if flavour == "tensorrt" and built and triton_refusal() is None:
                yield check(contract, ON_TRITON, flavour, opened_plan(repository, Path(scratch) / "triton.log"))


def _line(done: Check) -> str:
    where = f"{done.model}  {done.backend} {done.version}"
    if done.golden is None or done.failure is not None:
        return f"{where}  FAILED: {done.failure}"
    latencies = ((latency.batch, latency.median_ms, latency.p95_ms) for latency in done.latencies)
    times = ", ".join(f"batch {batch}: {median:.2f} ms (p95 {p95:.2f})" for batch, median, p95 in latencies)
    return f"{where}  score {done.golden.score_error:.1e}, map {done.golden.map_error:.1e}  {times}"


if __name__ == "__main__":
    main()
