"""`python -m gpu.torch_speed`: how fast PyTorch runs an exported model on this GPU, in FP32, TF32 and FP16."""

import dataclasses
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import torch
from torch import Tensor

from fcdd_benchmarks.report.machine import this_machine
from fcdd_export.gate.drawn import drawn_images
from fcdd_runtime.commands import PathOption
from fcdd_runtime.contract import read_contract
from gpu.half_drift import PACKAGES, cudnn_settings, cudnn_version
from gpu.onnx_in_torch import TorchModel

BATCHES = (1, 2, 8, 32)
WARM_UPS = 20
REPEATS = 300
QUANTILES = (0.05, 0.5, 0.95, 0.99)
SETTINGS = (
    ("FP32", "fp32", False, False),
    ("TF32", "fp32", True, False),
    ("TF32, channels last", "fp32", True, True),
    ("FP16", "fp16", False, False),
    ("FP16, channels last", "fp16", False, True),
)
"""Name, artefact, TF32, channels last."""


@dataclass(frozen=True)
class Timing:
    """One way at one batch size, milliseconds a batch."""

    way: str
    batch: int
    measure: str
    """`calls`: from call to call on the GPU's clock; `graph`: the same, replaying a CUDA graph; `host`: a replay, from
    images in the host's memory to scores and maps there, on the host's clock."""
    repeats: int
    warm_ups: int
    p5_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float


@click.command()
@click.option("--repo", type=PathOption(), required=True, help="Repository with NAME_fp32 and NAME_fp16.")
@click.option("--name", required=True, help="NAME of the network.")
@click.option("--out", type=PathOption(), required=True, help="JSON file.")
def main(repo: Path, name: str, out: Path) -> None:
    """Time a network on this GPU."""
    contracts = {precision: read_contract(repo / f"{name}_{precision}") for precision in ("fp32", "fp16")}
    models = {key: onnx.load(repo / one.name / one.artefact) for key, one in contracts.items()}
    document: dict[str, Any] = {
        "machine": dataclasses.asdict(this_machine(PACKAGES)),
        "network": contracts["fp32"].network,
    }
    document |= {"cudnn": cudnn_version(), "ceilings": _ceilings(), "timings": []}
    for way, precision, tf32, channels_last in SETTINGS:
        with torch.inference_mode(), cudnn_settings(tf32, fastest=True):
            runner = TorchModel(models[precision], torch.device("cuda"), channels_last)
            for batch in BATCHES:
                rows = _timed(way, runner, batch)
                document["timings"] += [asdict(row) for row in rows]
                medians = ", ".join(f"{row.measure} {row.median_ms:.3f} (p95 {row.p95_ms:.3f})" for row in rows)
                click.echo(f"{name} {way:20} batch {batch:2}: {medians} ms")
    out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _timed(way: str, runner: TorchModel, batch: int) -> list[Timing]:
    images = torch.from_numpy(drawn_images(batch, seed=3))
    there = images.cuda()
    runner.run(there)  # chooses algorithms
    graph, outputs = _captured(runner, there)
    if not all(torch.allclose(*pair, rtol=1e-2) for pair in zip(outputs, runner.run(there), strict=True)):
        raise RuntimeError(f"{way}: the graph answers otherwise than the calls")
    measured = {
        "calls": _on_gpu(lambda: runner.run(there)),
        "graph": _on_gpu(graph.replay),
        "host": _on_host(graph, images, there, outputs),
    }
    return [
        Timing(way, batch, measure, len(times), WARM_UPS, *(float(value) for value in np.quantile(times, QUANTILES)))
        for measure, times in measured.items()
    ]


def _captured(runner: TorchModel, images: Tensor) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, Tensor]]:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            runner.run(images)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = runner.run(images)
    graph.replay()
    torch.cuda.synchronize()
    return graph, outputs


def _on_gpu(call: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Return milliseconds a call, by events around each of many in a row."""
    for _ in range(WARM_UPS):
        call()
    event_type: Any = torch.cuda.Event
    events = [event_type(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    return [before.elapsed_time(after) for before, after in itertools.pairwise(events)]


def _on_host(graph: torch.cuda.CUDAGraph, images: Tensor, there: Tensor, outputs: tuple[Tensor, Tensor]) -> list[float]:
    """Return milliseconds a call, copies from and to page-locked memory included."""
    pinned, answers = images.pin_memory(), tuple(torch.empty_like(one, device="cpu").pin_memory() for one in outputs)
    times = []
    for _ in range(WARM_UPS + REPEATS):
        started = time.perf_counter()
        there.copy_(pinned, non_blocking=True)
        graph.replay()
        for answer, output in zip(answers, outputs, strict=True):
            answer.copy_(output, non_blocking=True)
        torch.cuda.synchronize()
        times.append((time.perf_counter() - started) * 1e3)
    return times[WARM_UPS:]


def _ceilings() -> dict[str, float]:
    """Return what the card does at best: 8192 x 8192 x 8192 products in TFLOP/s, copies in TB/s, read and written."""
    found = {}
    for key, dtype, tf32 in (
        ("fp32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("fp16", torch.half, False),
    ):
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
        with cudnn_settings(tf32, fastest=False):
            found[f"{key}_tflops"] = 2 * 8192**3 / np.median(_on_gpu(partial(torch.matmul, a, b), 10)) / 1e9
    source = torch.empty(2**32, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    found["copy_tbps"] = 2 * 2**32 / np.median(_on_gpu(lambda: target.copy_(source), 10)) / 1e9
    return {key: float(value) for key, value in found.items()}


if __name__ == "__main__":
    main()
