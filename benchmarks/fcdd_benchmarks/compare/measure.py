"""One snapshot's network through PyTorch, ONNX Runtime, OpenVINO and ours: same images, in turns, as ratios."""

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fcdd_benchmarks.compare.contenders import Contender, Images, PublishedScoring, Run, make_contenders, torch_run
from fcdd_benchmarks.compare.inputs import CompareInputs
from fcdd_benchmarks.compare.report import (
    OURS,
    OURS_BY_PRECISION,
    SEPARABLE,
    TRANSPOSED,
    CompareOptions,
    CompareReport,
    ContenderResult,
    ContenderTiming,
    HeatmapTimes,
    targets_of,
)
from fcdd_benchmarks.compare.triton_overhead import client_overhead_ms
from fcdd_benchmarks.compare.upsampling import check_upsampling, transposed
from fcdd_benchmarks.report.estimate import Estimate, Metric
from fcdd_benchmarks.report.machine import this_machine
from fcdd_benchmarks.timing.interleaved import interleaved_ms
from fcdd_benchmarks.timing.summary import ratio_of_medians, summary_of
from fcdd_export.gate.drawn import drawn_images
from fcdd_export.gate.drift import Drift, Outputs, ReferenceAnswers, measure_drift, violations
from fcdd_export.int8.quantize import Method
from fcdd_export.networks.normals import images_in
from fcdd_export.networks.registry import upsampling_of
from fcdd_export.networks.snapshot import Snapshot
from fcdd_runtime.errors import GateError
from fcdd_runtime.images.heatmap import upsample
from fcdd_runtime.images.network_input import stack_images

PACKAGES = ("fcdd-edge", "numpy", "torch", "onnxruntime", "openvino", "tritonclient")
HEATMAP_ROUNDS = 50
"""At least; they are short."""
FEWEST_IMAGES = 16
DRAWN_CALIBRATION = 64


def measure_comparison(inputs: CompareInputs, options: CompareOptions, command: str) -> CompareReport:
    """Make all contenders, check them, and time those that passed.

    Raises
    ------
    GateError
        If our own FP32 does not pass: there is nothing to compare with then.
    SnapshotError, ImageError, BackendError
        If something given cannot be used.
    """
    batch, snapshot = options.batch, inputs.snapshot
    reference = _reference(inputs, batch)
    calibration = _images(inputs.calibration_images, snapshot, DRAWN_CALIBRATION) if options.int8 else None
    with tempfile.TemporaryDirectory(prefix="fcdd-bench-") as scratch:
        methods: tuple[Method, ...] = ("fast", "accurate") if options.accurate_int8 else ("fast",)
        field = make_contenders(snapshot, inputs.normalization, calibration, Path(scratch), methods)
        checks = [(contender, *check(contender, reference, batch)) for contender in field.contenders]
        if (refusal := checks[0][2]) is not None:
            raise GateError(f"{OURS} does not answer as torch does ({refusal}), so nothing is timed; export it again")
        images = np.ascontiguousarray(reference.inputs["mip"][:batch])
        passed = [contender for contender, _, refused in checks if refused is None]
        calls = {contender.name: functools.partial(contender.run, images) for contender in passed}
        times = interleaved_ms(calls, options.repeats)
        # Apart from the others, whose worker threads spin on when they are done: a heatmap takes no longer than that.
        heatmaps = _heatmap_times(reference, options)
    overhead = None if inputs.url is None else client_overhead_ms(inputs.url, batch, options.repeats)
    results = tuple(
        ContenderResult(
            contender.name,
            contender.precision,
            drift,
            refused,
            None if refused else _timing(contender, times),
        )
        for contender, drift, refused in checks
    )
    return CompareReport(
        title=f"{options.net} side by side, batch {batch}",
        command=command,
        machine=this_machine(PACKAGES),
        metrics=tuple(_metrics(results, heatmaps, overhead, batch)),
        options=options,
        contenders=results,
        absent=field.absent,
        int8_forms=field.int8_forms,
        targets=targets_of(options, results, heatmaps, overhead),
        images=len(reference.inputs["mip"]),
        torch_threads=torch.get_num_threads(),
        heatmaps=heatmaps,
        client_overhead_ms=overhead,
    )


def check(contender: Contender, reference: ReferenceAnswers, batch: int) -> tuple[Drift, str | None]:
    """Run all images in batches and hold the answers against the reference, by the limits of the export's gate.

    Parameters
    ----------
    reference : its number of images is a multiple of `batch`

    Returns
    -------
    How far the answers are from the reference's, and which limits that exceeds: None if its time counts.
    """
    drift = measure_drift(contender.name, _answers(contender.run, reference.inputs["mip"], batch), reference)
    exceeded = violations(drift, contender.precision) + (["values that are not finite"] if drift.nonfinite else [])
    return drift, "; ".join(exceeded) or None


def _reference(inputs: CompareInputs, batch: int) -> ReferenceAnswers:
    """Run the published computation in torch on images whose number is a multiple of the batch."""
    snapshot = inputs.snapshot
    images = _images(inputs.images, snapshot, FEWEST_IMAGES)
    batches = -(-max(len(images), FEWEST_IMAGES) // batch)
    images = np.resize(images, (batches * batch, *images.shape[1:]))
    outputs = _answers(torch_run(PublishedScoring(snapshot.network, inputs.normalization)), images, batch)
    upsampling = upsampling_of(snapshot.net, snapshot.gauss_std)
    return ReferenceAnswers({"mip": images}, outputs, upsampling, snapshot.resize.size)


def _images(folder: Path | None, snapshot: Snapshot, drawn: int) -> Images:
    return drawn_images(drawn, seed=3) if folder is None else stack_images(images_in(folder), snapshot.resize)


def _answers(run: Run, images: Images, batch: int) -> Outputs:
    parts = [run(images[start : start + batch]) for start in range(0, len(images), batch)]
    return Outputs(np.concatenate([scores for scores, _ in parts]), np.concatenate([maps for _, maps in parts]))


def _timing(contender: Contender, times: Mapping[str, list[float]]) -> ContenderTiming:
    own, summary = times[contender.name], summary_of(np.array(times[contender.name]))
    ours = times.get(OURS_BY_PRECISION[contender.precision])
    return ContenderTiming(
        samples=summary.samples,
        median_ms=summary.p50,
        mean_ms=summary.mean_ms,
        max_ms=summary.max_ms,
        spread=summary.spread,
        noisy=summary.noisy,
        ratio=ratio_of_medians(own, times[OURS]),
        ratio_in_precision=None if ours is None else ratio_of_medians(own, ours),
    )


def _heatmap_times(reference: ReferenceAnswers, options: CompareOptions) -> HeatmapTimes:
    given = reference.outputs.maps[: options.batch], reference.upsampling, reference.image_size
    calls = {SEPARABLE: lambda: upsample(*given), TRANSPOSED: lambda: transposed(*given)}
    times = interleaved_ms(calls, max(options.repeats, HEATMAP_ROUNDS))
    medians = {name: float(np.median(found)) for name, found in times.items()}
    return HeatmapTimes(medians, ratio_of_medians(times[TRANSPOSED], times[SEPARABLE]), check_upsampling(*given))


def _metrics(
    results: Sequence[ContenderResult], heatmaps: HeatmapTimes, overhead: Estimate | None, batch: int
) -> Iterator[Metric]:
    """Compare by ratios, in which the speed of the machine cancels: others should stay as much slower as they were."""
    for result in results:
        if result.timing is not None and result.name != OURS:
            better: Literal["lower", "higher"] = "lower" if result.name in OURS_BY_PRECISION.values() else "higher"
            yield result.timing.ratio.metric(f"{result.name}, times ours", better, "times")
    yield heatmaps.ratio.metric("heatmaps as published, times ours", "higher", "times")
    if overhead is not None:
        yield overhead.metric(f"call to Triton, batch {batch}", "lower", "ms")
