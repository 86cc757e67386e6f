"""The VGG11 trunk on this machine: accuracy, side by side with other runtimes, latency, and through Triton."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from fcdd_runtime.serving.triton_process import ServerOptions, running_server
from release_benchmark.random_network import write_random_vgg
from release_benchmark.setting import Setting, run

NAME = "vgg"
RANDOM_WEIGHTS = "FCDD_REFERENCE_DATA is unset, so the VGG network has random weights: for speed only, no accuracy."


def vgg_models(setting: Setting) -> None:
    """Export the VGG network to all precisions."""
    if setting.trained_vgg is None:
        click.echo(RANDOM_WEIGHTS)
        write_random_vgg(_random(setting))
    precisions = [word for precision in ("fp32", "fp16", "int8") for word in ("--precision", precision)]
    target = ("--target", "python", "--name", NAME, "--repo", _repository(setting))
    # What random weights answer is near no limit by design, so the gate has nothing to say of them.
    accepted = () if setting.trained_vgg else ("--accept-drift", "random weights, for timing only")
    verified = ("--verify-images", setting.trained_vgg / "test") if setting.trained_vgg else ()
    run("fcdd-export", *_snapshot(setting), *_calibration(setting), *verified, *precisions, *target, *accepted)


def vgg_accuracy(setting: Setting) -> None:
    """Accuracy of all precisions on the images that came with the trained VGG network."""
    if setting.trained_vgg is None:
        click.echo(RANDOM_WEIGHTS)
        return
    models = [f"--model={model_folder(setting, precision)}" for precision in ("fp32", "fp16", "int8")]
    images = ("--images", setting.trained_vgg / "test", "--masks", setting.trained_vgg / "masks")
    options = ("--round-fp16", "--resamples", setting.size(2000, 100), "--out", setting.vgg_results / "accuracy")
    run("fcdd-bench", "accuracy", *images, *models, *options)


def vgg_compare(setting: Setting) -> None:
    """PyTorch, ONNX Runtime, OpenVINO and ours in turns, batch 8, and what a call to Triton costs."""
    snapshot, *statistics = _snapshot(setting)
    images = ("--images", setting.trained_vgg / "test") if setting.trained_vgg and not setting.small else ()
    options = ("--batch", "8", "--repeats", setting.size(16, 3), "--out", setting.vgg_results / "compare")
    accurate = () if setting.small else ("--accurate-int8",)
    with served(setting) as address:
        given = ("--snapshot", snapshot, *statistics, *images, *_calibration(setting), *accurate)
        run("fcdd-bench", "compare", *given, "--url", f"{address}/{NAME}_fp32", *options)


def vgg_latency(setting: Setting) -> None:
    """Latency and throughput in the process, FP32 and INT8, batch 1 to 32."""
    models = [f"--model={model_folder(setting, precision)}" for precision in ("fp32", "int8")]
    batches, concurrencies = ((1, 2), (1,)) if setting.small else ((1, 2, 4, 8, 16, 32), (1,))
    points = _points(batches, concurrencies, setting)
    run("fcdd-bench", "latency", *models, *points, "--out", setting.vgg_results / "latency")


def vgg_triton(setting: Setting) -> None:
    """Latency of INT8 through Triton, concurrency 1 to 8, Poisson arrivals, and the rate that keeps p99 at 100 ms."""
    batches, concurrencies = ((1, 2), (2,)) if setting.small else ((1, 8), (1, 2, 4, 8))
    open_loops = ("--rate", "20") if setting.small else ("--rate", "20", "--p99-limit-ms", "100")
    points = _points(batches, concurrencies, setting)
    with served(setting) as address:
        url, out = ("--url", f"{address}/{NAME}_int8"), ("--out", setting.vgg_results / "latency_triton")
        run("fcdd-bench", "latency", *url, *points, *open_loops, *out)


def model_folder(setting: Setting, precision: str) -> Path:
    """Return the VGG network's exported model of a precision, which `vgg_models` leaves."""
    return _repository(setting) / f"{NAME}_{precision}"


def _points(batches: tuple[int, ...], concurrencies: tuple[int, ...], setting: Setting) -> list[str]:
    words = [f"--batch={batch}" for batch in batches] + [f"--concurrency={count}" for count in concurrencies]
    return [*words, f"--seconds={setting.size(2, 1)}"]


def _snapshot(setting: Setting) -> tuple[str | Path, ...]:
    """Return the snapshot, and what it does not hold itself."""
    if setting.trained_vgg is None:
        return (_random(setting),)
    with np.load(setting.trained_vgg / "expected.npz") as arrays:
        mean, std = (float(arrays[name].ravel()[0]) for name in ("mean", "std"))
    return setting.trained_vgg, "--mean", repr(mean), "--std", repr(std)


def _calibration(setting: Setting) -> tuple[str | Path, ...]:
    folder = Path("examples/phantom/normal_mips")
    return ("--calibration-images", setting.trained_vgg / "calibration/normal" if setting.trained_vgg else folder)


def _random(setting: Setting) -> Path:
    return setting.work / "random_vgg"


def _repository(setting: Setting) -> Path:
    return setting.work / ("vgg_random_repository" if setting.trained_vgg is None else "vgg_repository")


@contextlib.contextmanager
def served(setting: Setting) -> Iterator[str]:
    """Run a real Triton on the VGG models, as fcdd-serve does, and yield its address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        http, grpc, metrics = (int(one.getsockname()[1]) for one in sockets)
    options = ServerOptions(_repository(setting), "127.0.0.1", http, grpc, metrics, setting.work / "triton.log")
    with running_server(options):
        yield f"grpc://127.0.0.1:{grpc}"
