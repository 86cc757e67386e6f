"""What `fcdd-bench compare` measured -> its report."""

import dataclasses
from typing import Any, Literal

from fcdd_benchmarks.compare.answers import Checked, limits_in_words
from fcdd_benchmarks.compare.contestants import OURS, OURS_BY_PRECISION
from fcdd_benchmarks.compare.run import UPSAMPLING, CompareOptions, CompareResult, Place
from fcdd_benchmarks.compare.targets import TARGET_TEXT, targets_of
from fcdd_benchmarks.report.write import Metric, Plot, Report, Section
from fcdd_benchmarks.timing.machine import machine_facts
from fcdd_benchmarks.timing.measured_peak import MULTIPLY_ADDS, SIZE
from fcdd_benchmarks.timing.plots import ratio_bars
from fcdd_benchmarks.timing.summary import FEW_ROUNDS, NOISY, ROUGH, Percentile

PACKAGES = ("fcdd-edge", "numpy", "torch", "onnxruntime", "openvino", "tritonclient")
PEAK_TEXT = (
    "The share of the peak is the network's convolutions per second, held against the fastest product of two square "
    f"matrices of {SIZE} rows in the same rounds: float32, and uint8 times int8, both by ONNX Runtime. Batch norm as a "
    "layer and the two further input channels of the published form count as no work."
)


def compare_report(options: CompareOptions, result: CompareResult, command: str) -> Report:
    """Put figures, plot and what they were measured on together."""
    places = result.places
    return Report(
        benchmark="compare",
        title=f"{options.snapshot.net} side by side, batch {options.batch}",
        lead=_lead(options, result),
        command=command,
        machine=machine_facts(PACKAGES),
        sections=tuple(section for section in _sections(options, result) if section.rows),
        plots=(
            Plot(
                "Time against fcdd-edge FP32",
                ratio_bars([one.name for one in places], [one.ratio for one in places], "times ours in FP32"),
                "png",
                "Ratio of the median times of a batch, with 95 % bootstrap intervals; less is faster.",
            ),
        ),
        metrics=tuple(_metrics(options, result)),
        document={
            "options": _options(options),
            "contenders": [_document(check, result.place(check.contender.name)) for check in result.checks],
            "absent": result.absent,
            "int8_forms": [dataclasses.asdict(form) for form in result.int8_forms],
            "targets": [dataclasses.asdict(target) for target in targets_of(options, result)],
            "images": result.images,
            "multiply_adds": result.multiply_adds,
            "products_ms": result.products_ms,
            "torch_threads": result.threads,
            "heatmaps": {
                "ms": result.heatmap_ms,
                "ratio": dataclasses.asdict(result.heatmap_ratio),
                "error": result.heatmap_error,
            },
            "client_overhead_ms": result.client_overhead_ms and dataclasses.asdict(result.client_overhead_ms),
        },
    )


def _lead(options: CompareOptions, result: CompareResult) -> str:
    noisy = [place.name for place in result.places if place.summary.noisy]
    state = (
        f"The machine was noisy: the medians of {', '.join(noisy)} moved by more than {NOISY:.0%} between thirds of "
        "the run. Ratios of interleaved medians suffer less than times; measure again on a quiet machine."
        if noisy
        else f"The machine held still: every median moved by less than {NOISY:.0%} between thirds of the run."
    )
    rough = f" {ROUGH}" if options.repeats < FEW_ROUNDS else ""
    return (
        f"Everybody had a turn in each of {options.repeats} rounds, in an order drawn anew, with a pause and an "
        f"untimed call before the timed one. {state}{rough}"
    )


def _sections(options: CompareOptions, result: CompareResult) -> tuple[Section, ...]:
    rates = {kind: 2 * MULTIPLY_ADDS / ms / 1e9 for kind, ms in result.products_ms.items()}
    checks_text = (
        f"On {result.images} images ({'drawn' if options.images is None else 'given'}), against torch FP32 computing "
        f"as published. FP32: {limits_in_words('fp32')}. INT8: {limits_in_words('int8')}. Who exceeds a limit is not "
        "timed."
    )
    return (
        _targets_section(options, result),
        Section(
            "Time",
            f"{PEAK_TEXT} They reached {rates['fp32']:.2f} and {rates['int8']:.2f} TOP/s here.",
            (
                "",
                "median ms a batch",
                "ms an image",
                "times ours FP32 (95 % interval)",
                "times ours, same precision",
                "share of peak",
                "noise",
            ),
            tuple(_time_row(place, options.batch) for place in result.places),
        ),
        Section(
            "Checked before timing",
            checks_text,
            ("", "mean score error", "largest score error", "rank correlation", "map error", "result"),
            tuple(_check_row(check) for check in result.checks),
        ),
        _int8_section(result),
        Section("Not taking part", "", ("", "reason"), tuple(result.absent.items())),
        Section(
            "Heatmaps",
            f"28 x 28 maps to {options.snapshot.resize.size} x {options.snapshot.resize.size}, a batch; the two differ "
            f"by at most {result.heatmap_error:.1e} of the largest value.",
            ("", "median ms a batch", "times ours (95 % interval)"),
            tuple(_heatmap_row(name, result) for name in UPSAMPLING),
        ),
        _overhead_section(options, result.client_overhead_ms),
    )


def _time_row(place: Place, batch: int) -> tuple[str, ...]:
    median = place.summary.p50.value
    noise = f"{place.summary.spread:.0%}" + (" noisy" if place.summary.noisy else "")
    return (
        place.name,
        f"{median:.2f}",
        f"{median / batch:.2f}",
        _with_interval(place.ratio),
        "not timed" if place.ratio_in_precision is None else _with_interval(place.ratio_in_precision),
        f"{place.peak_share:.0%}",
        noise,
    )


def _check_row(check: Checked) -> tuple[str, ...]:
    drift = check.drift
    rank = "too few images" if drift.rank_correlation is None else f"{drift.rank_correlation:.4f}"
    errors = (f"{drift.score_mean:.1e}", f"{drift.score_largest:.1e}", rank, f"{drift.map_of_set:.1e}")
    return (check.contender.name, *errors, "passed" if check.refused is None else f"not timed: {check.refused}")


def _heatmap_row(name: str, result: CompareResult) -> tuple[str, ...]:
    ratio = "1" if name == UPSAMPLING[0] else _with_interval(result.heatmap_ratio)
    return (name, f"{result.heatmap_ms[name]:.3f}", ratio)


def _targets_section(options: CompareOptions, result: CompareResult) -> Section:
    found = targets_of(options, result)
    rows = tuple(
        (one.name, one.target, "" if one.figure is None else _with_interval(one.figure), one.verdict) for one in found
    )
    return Section("Targets", TARGET_TEXT, ("", "target", "figure (95 % interval)", "verdict"), rows)


def _int8_section(result: CompareResult) -> Section:
    drifts = {check.contender.name: check.drift for check in result.checks}
    rows = tuple(
        (
            form.name,
            f"{form.seconds:.0f}",
            f"{form.share:.1%}",
            f"{drifts[form.name].score_mean:.1e}",
            f"{drifts[form.name].map_of_set:.1e}",
        )
        for form in result.int8_forms
    )
    text = "What our INT8 costs to make, and what it keeps; its time stands above."
    headers = ("", "seconds to make", "multiply-adds in INT8", "mean score error", "map error")
    return Section("INT8", text, headers, rows)


def _overhead_section(options: CompareOptions, overhead: Percentile | None) -> Section:
    title, text = (
        "What a call to Triton costs",
        "The client's time less the server's time in the model, median of calls.",
    )
    if overhead is None:
        return Section(title, text)
    return Section(title, text, ("", "ms (95 % interval)"), ((f"batch {options.batch}", _with_interval(overhead)),))


def _with_interval(value: Percentile) -> str:
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def _metrics(options: CompareOptions, result: CompareResult) -> list[Metric]:
    """Compare by ratios, in which the speed of the machine cancels: others should stay as much slower as they were."""
    others = [place for place in result.places if place.name != OURS]
    metrics = [_metric(place.name, place.ratio, ours=place.name in OURS_BY_PRECISION.values()) for place in others]
    metrics.append(_metric("heatmaps as published", result.heatmap_ratio, ours=False))
    if (overhead := result.client_overhead_ms) is not None:
        name = f"call to Triton, batch {options.batch}"
        metrics.append(Metric(name, overhead.value, overhead.low, overhead.high, "lower", "ms"))
    return metrics


def _metric(name: str, ratio: Percentile, *, ours: bool) -> Metric:
    better: Literal["lower", "higher"] = "lower" if ours else "higher"
    return Metric(f"{name}, times ours", ratio.value, ratio.low, ratio.high, better, "times")


def _options(options: CompareOptions) -> dict[str, Any]:
    return {
        "net": options.snapshot.net,
        "snapshot_sha256": options.snapshot.sha256,
        "batch": options.batch,
        "repeats": options.repeats,
        "int8": options.int8,
        "accurate_int8": options.accurate_int8,
        "images": "drawn" if options.images is None else "given",
        "calibration_images": "drawn" if options.calibration_images is None else "given",
    }


def _document(check: Checked, place: Place | None) -> dict[str, Any]:
    """Return a contender's entry; `timing` is None where it was not timed."""
    document = {
        "name": check.contender.name,
        "precision": check.contender.precision,
        "drift": dataclasses.asdict(check.drift),
        "refused": check.refused,
    }
    if place is None:
        return document | {"timing": None}
    figures = place.summary
    timing = {"samples": figures.samples, "median_ms": dataclasses.asdict(figures.p50), "mean_ms": figures.mean_ms}
    timing |= {"max_ms": figures.max_ms, "spread": figures.spread, "noisy": figures.noisy}
    in_precision = place.ratio_in_precision and dataclasses.asdict(place.ratio_in_precision)
    ratios = {"ratio": dataclasses.asdict(place.ratio), "ratio_in_precision": in_precision}
    return document | {"timing": timing | ratios | {"peak_share": place.peak_share}}
