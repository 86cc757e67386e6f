"""The comparison as people see it."""

from fcdd_benchmarks.compare.report import SEPARABLE, TRANSPOSED, CompareReport
from fcdd_benchmarks.report.page import Page, Section
from fcdd_benchmarks.report.plots import ratio_plot
from fcdd_benchmarks.timing.summary import FEW_ROUNDS, NOISY, ROUGH, noise_in_words
from fcdd_export.graphs.precisions import PRECISIONS

TARGET_TEXT = (
    "Ratios of medians of the same rounds. A figure meets its target by its value; “within the noise” says that its "
    "interval holds the target, so that another run could say the opposite."
)


def compare_page(report: CompareReport) -> Page:
    """Put everything into tables and a plot."""
    timed = [(contender.name, contender.timing) for contender in report.contenders if contender.timing]
    noisy = [name for name, timing in timed if timing.noisy]
    state = (
        f"The machine was noisy: the medians of {', '.join(noisy)} moved by more than {NOISY:.0%} between thirds of "
        "the run. Ratios of interleaved medians suffer less than times; measure again on a quiet machine."
        if noisy
        else f"The machine held still: every median moved by less than {NOISY:.0%} between thirds of the run."
    )
    rough = f" {ROUGH}" if report.options.repeats < FEW_ROUNDS else ""
    lead = (
        f"Everybody had a turn in each of {report.options.repeats} rounds, in an order drawn anew, with a pause and an "
        f"untimed call before the timed one. {state}{rough}"
    )
    targets = tuple(
        (target.name, target.target, "" if target.figure is None else target.figure.text(), target.verdict)
        for target in report.targets
    )
    drifts = {contender.name: contender.drift for contender in report.contenders}
    int8 = tuple(
        (form.name, f"{form.seconds:.0f}", f"{form.share:.1%}", f"{drift.score_mean:.1e}", f"{drift.map_of_set:.1e}")
        for form in report.int8_forms
        for drift in [drifts[form.name]]
    )
    heatmaps, overhead = report.heatmaps, report.client_overhead_ms
    sections = (
        Section("Targets", TARGET_TEXT, ("", "target", "figure (95 % interval)", "verdict"), targets),
        _times(report),
        _checks(report),
        Section(
            "INT8",
            "What our INT8 costs to make, and what it keeps; its time stands above.",
            ("", "seconds to make", "multiply-adds in INT8", "mean score error", "map error"),
            int8,
        ),
        Section("Not taking part", "", ("", "reason"), tuple(report.absent.items())),
        Section(
            "Heatmaps",
            f"28 x 28 maps to 224 x 224, a batch; the two differ by at most {heatmaps.error:.1e} of the largest value.",
            ("", "median ms a batch", "times ours (95 % interval)"),
            (
                (SEPARABLE, f"{heatmaps.ms[SEPARABLE]:.3f}", "1"),
                (TRANSPOSED, f"{heatmaps.ms[TRANSPOSED]:.3f}", heatmaps.ratio.text()),
            ),
        ),
        Section(
            "What a call to Triton costs",
            "The client's time less the server's time in the model, median of calls.",
            ("", "ms (95 % interval)"),
            () if overhead is None else ((f"batch {report.options.batch}", overhead.text()),),
        ),
    )
    ratios = [(name, timing.ratio) for name, timing in timed]
    plot = ratio_plot("Time against fcdd-edge FP32", ratios, "times ours in FP32")
    return Page(lead, tuple(section for section in sections if section.rows), (plot,))


def _times(report: CompareReport) -> Section:
    headers = ("median ms a batch", "ms an image", "times ours FP32 (95 % interval)", "times ours, same precision")
    rows = []
    for contender in report.contenders:
        if (timing := contender.timing) is not None:
            rows.append(
                (
                    contender.name,
                    f"{timing.median_ms.value:.2f}",
                    f"{timing.median_ms.value / report.options.batch:.2f}",
                    timing.ratio.text(),
                    "not timed" if timing.ratio_in_precision is None else timing.ratio_in_precision.text(),
                    noise_in_words(timing.spread),
                )
            )
    return Section("Time", "", ("", *headers, "noise"), tuple(rows))


def _checks(report: CompareReport) -> Section:
    rows = []
    for contender in report.contenders:
        drift = contender.drift
        rank = "too few images" if drift.rank_correlation is None else f"{drift.rank_correlation:.4f}"
        errors = (f"{drift.score_mean:.1e}", f"{drift.score_largest:.1e}", rank, f"{drift.map_of_set:.1e}")
        result = "passed" if contender.refused is None else f"not timed: {contender.refused}"
        rows.append((contender.name, *errors, result))
    fp32, int8 = PRECISIONS["fp32"].limits, PRECISIONS["int8"].limits
    text = (
        f"On {report.images} images ({report.options.images}), against torch FP32 computing as published. FP32: scores "
        f"and maps within {fp32.score:g} of torch's. INT8: scores within {int8.score_mean:g} of torch's on the mean, "
        f"their rank correlation at least {int8.rank:g}, maps within {int8.map_of_set:g} of the set's largest value. "
        "Who exceeds a limit is not timed."
    )
    headers = ("", "mean score error", "largest score error", "rank correlation", "map error", "result")
    return Section("Checked before timing", text, headers, tuple(rows))
