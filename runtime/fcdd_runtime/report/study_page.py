"""StudyResult -> one HTML page that needs no network: styles, script and images are inside it.

Series descriptions come from outside, so every text is escaped, and the page's content security policy allows its own
script only.
"""

import html
import math
import re
from collections.abc import Mapping
from dataclasses import replace

from PIL import Image

from fcdd_runtime.contract import ModelContract, OperatingPoint
from fcdd_runtime.images.heatmap import display_range
from fcdd_runtime.report.colormap import color_table
from fcdd_runtime.report.look import DEFAULT_LOOK, Look
from fcdd_runtime.report.markup import Html, filled, joined, page_file
from fcdd_runtime.report.overlay import OPACITY, SIDES, display_image, heat_layer, peak_mm, seen_part
from fcdd_runtime.report.pages import data_uri, script_hash
from fcdd_runtime.result import BreastResult, Peak, StudyResult
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

STATES = {
    True: ("flagged", "Flagged", "▲"),
    False: ("unflagged", "Not flagged", "●"),
    None: ("undecided", "No operating point", "○"),
}
"""Style class, words and a shape that says the same without colour."""

_SCALES = {"global": "compare exams", "local": "each image alone"}


def study_page(result: StudyResult, study: str, look: Look = DEFAULT_LOOK) -> str:
    """Return the report as the text of one HTML file; `study` is the short name that it gives the study."""
    style, script = page_file("style.css"), page_file("script.js")
    values = {
        "style": Html(style),
        "script": Html(script),
        "study": study,
        "script_hash": script_hash(script),
        "intended_use": INTENDED_USE,
        "software": f"{NAME} {software_version()}",
        **_summary(result),
        **_viewer(result, look),
        **_facts(result),
    }
    return filled("page.html.template", values)


def position_in_words(patient_mm: tuple[float, float, float]) -> str:
    """Say where a point is, such as `L 52 mm, A 31 mm, H 12 mm`.

    Parameters
    ----------
    patient_mm : LPS; positive is to the left, to the back (P) and to the head (H), negative R, A and F
    """
    letters = (("L", "R"), ("P", "A"), ("H", "F"))
    return ", ".join(
        f"{positive if round(value) >= 0 else negative} {abs(round(value))} mm"
        for value, (positive, negative) in zip(patient_mm, letters, strict=True)
    )


def _summary(result: StudyResult) -> dict[str, str]:
    state, words, shape = STATES[result.flagged]
    point = result.contract.operating_point
    return {
        "study_instance_uid": result.study_instance_uid,
        "exam_score": score_text(result.exam_score),
        "exam_score_full": repr(float(result.exam_score)),
        "state": state,
        "state_words": words,
        "state_shape": shape,
        "state_reason": _state_reason(result),
        "bars": _score_bars(result),
        "axis_end": f"{_axis_end(result):g}",
        "threshold_mark": _threshold_mark(point, _axis_end(result)),
        "warnings": _warnings(result),
    }


def _state_reason(result: StudyResult) -> str:
    point = result.contract.operating_point
    if point is None:
        return "This model has no threshold, so its scores only rank exams."
    relation = "reaches" if result.flagged else "is below"
    return f"The exam score {relation} the threshold {score_text(point.threshold)}{_sensitivity(point)}."


def _sensitivity(point: OperatingPoint) -> str:
    return "" if point.sensitivity is None else f" (set for {100 * point.sensitivity:g} % sensitivity)"


def _score_bars(result: StudyResult) -> Html:
    end = _axis_end(result)
    return joined(
        filled(
            "bar.html.template",
            {
                "laterality": breast.laterality,
                "score": score_text(breast.score),
                "percent": f"{100 * breast.score / end:.2f}",
                "state": STATES[breast.flagged][0],
            },
        )
        for breast in result.breasts
    )


def _axis_end(result: StudyResult) -> float:
    """Return a round number with room beyond the largest score and the threshold."""
    point = result.contract.operating_point
    largest = 1.1 * max(result.exam_score, 0 if point is None else point.threshold)
    if largest <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(largest))
    return next(step * decade for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * decade >= largest)


def _threshold_mark(point: OperatingPoint | None, axis_end: float) -> Html:
    if point is None:
        return Html("")
    values = {"percent": f"{100 * point.threshold / axis_end:.2f}", "threshold": score_text(point.threshold)}
    return filled("threshold.html.template", values)


def _warnings(result: StudyResult) -> Html:
    sentences = [*result.warnings, *(f"Model: {note}" for note in result.contract.notes)]
    if not sentences:
        return Html("")
    items = joined(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return filled("warnings.html.template", {"count": str(len(sentences)), "items": items})


def _viewer(result: StudyResult, look: Look) -> dict[str, str]:
    low, span = result.contract.display.reference_range
    sizes = [_size_mm(breast) for breast in result.breasts]
    return {
        "widest_mm": f"{max(width for _, width in sizes):.2f}",
        "tallest_mm": f"{max(height for height, _ in sizes):.2f}",
        "scale": look.scale,
        "scales": joined(_scale_option(scale, words, look) for scale, words in _SCALES.items()),
        "opacity": str(OPACITY),
        "opacity_percent": f"{100 * OPACITY:.0f}",
        "layout": "one" if len(result.breasts) == 1 else "two",
        "breasts": joined(_breast(breast, result.contract, look) for breast in result.breasts),
        "color_bar": data_uri(Image.fromarray(color_table(look.colormap)[None])),
        "global_low": f"{low:.3g}",
        "global_high": f"{low + span:.3g}",
        "quantile": f"{100 * result.contract.display.quantile:g}",
    }


def _scale_option(scale: str, words: str, look: Look) -> str:
    selected = " selected" if scale == look.scale else ""
    return f'<option value="{scale}"{selected}>{words}</option>'


def _breast(breast: BreastResult, contract: ModelContract, look: Look) -> Html:
    low, span = display_range(breast.heatmap, contract.display.quantile)
    state, words, shape = STATES[breast.flagged]
    values = {
        "laterality": breast.laterality,
        "side": SIDES[breast.laterality],
        "score": score_text(breast.score),
        "score_full": repr(float(breast.score)),
        "state": state,
        "state_words": words,
        "state_shape": shape,
        "mip": data_uri(display_image(breast, contract)),
        "heat_global": data_uri(heat_layer(breast, contract, replace(look, scale="global"))),
        "heat_local": data_uri(heat_layer(breast, contract, replace(look, scale="local"))),
        "local_range": f"{low:.3g} to {low + span:.3g}",
        "seen": _seen_frame(breast, contract),
        **_geometry(breast, contract),
        **_peak(breast.peak),
    }
    return filled("breast.html.template", values)


def _geometry(breast: BreastResult, contract: ModelContract) -> dict[str, str]:
    height, width = _size_mm(breast)
    below_top, from_left = peak_mm(breast, contract)
    return {
        "height_mm": f"{height:.2f}",
        "width_mm": f"{width:.2f}",
        "mark_x": f"{from_left:.2f}",
        "mark_y": f"{below_top:.2f}",
        "ruler_percent": f"{100 * 20 / width:.2f}",
    }


def _seen_frame(breast: BreastResult, contract: ModelContract) -> Html:
    """Frame what the network saw, unless that is the whole image."""
    top, left, bottom, right = seen_part(breast, contract)
    if (top, left, bottom, right) == (0, 0, 1, 1):
        return Html("")
    height, width = _size_mm(breast)
    values = {"x": left * width, "y": top * height, "width": (right - left) * width, "height": (bottom - top) * height}
    return filled("seen.html.template", {name: f"{value:.2f}" for name, value in values.items()})


def _size_mm(breast: BreastResult) -> tuple[float, float]:
    rows, columns = breast.image.shape
    return rows * breast.pixel_mm[0], columns * breast.pixel_mm[1]


def _peak(peak: Peak) -> dict[str, str]:
    x, y, z = peak.patient_mm
    return {
        "position": position_in_words(peak.patient_mm),
        "lps": f"{x:.1f}, {y:.1f}, {z:.1f}",
        "sop_instance_uid": peak.sop_instance_uid,
        "frame": "single-frame file" if peak.frame_number is None else f"frame {peak.frame_number}",
    }


def _facts(result: StudyResult) -> dict[str, str]:
    return {
        "images": _definitions(_image_facts(result)),
        "model": _definitions(_model_facts(result.contract)),
    }


def _image_facts(result: StudyResult) -> dict[str, str]:
    phases, split, recipe = result.phases, result.split, result.contract.recipe
    return {
        "Pre-contrast": phases.pre,
        "Post-contrast": phases.post,
        "Phases": f"{phases.count} found, told apart by {phases.method}",
        "Image": "post-contrast minus pre-contrast, signed; axial maximum intensity projection, anterior up",
        "Seen by the network": _seen_words(result.contract),
        "Grey window": f"{recipe.window_low:g} to the {100 * recipe.window_high_quantile:g} % quantile of the study",
        "Left and right": f"{split.method}, confidence {100 * split.confidence:.0f} %",
        "Midline": f"x = {split.midline_x_mm:.1f} mm (LPS)",
        "Study UID": result.study_instance_uid,
    }


def _seen_words(contract: ModelContract) -> str:
    if contract.resize.rule == "squash":
        return "the whole breast image"
    return "the centre of the breast image, inside the dashed frame where it does not cover all"


def _model_facts(contract: ModelContract) -> dict[str, str]:
    point = contract.operating_point
    return {
        "Model": contract.name,
        "Network": f"{contract.network}, objective {contract.objective}",
        "Precision": f"{contract.precision}, artefact for {contract.target}",
        "Heatmap": _map_words(contract),
        "Threshold": "none" if point is None else f"{point.threshold:g}{_sensitivity(point)}: {point.source}",
        "Mean / std": f"{_numbers(contract.mean)} / {_numbers(contract.std)}",
        "Snapshot": contract.snapshot_sha256,
        "Artefact": contract.artefact_sha256,
        "Versions": ", ".join(f"{name} {version}" for name, version in contract.versions.items()),
    }


def _map_words(contract: ModelContract) -> str:
    if contract.map_kind == "fcdd":
        return "anomaly map; the score is its mean"
    return "saliency (Grad-CAM); the score is not its mean"


def _definitions(facts: Mapping[str, str]) -> Html:
    return joined(f"<dt>{html.escape(term)}</dt>{_definition(value)}" for term, value in facts.items())


def _definition(value: str) -> str:
    """Show a hash by its first digits, with the whole in the tooltip."""
    is_hash = re.fullmatch("[0-9a-f]{64}", value) is not None
    shown = f"{value[:16]}…" if is_hash else value
    title = f' class="code" title="{html.escape(value)}"' if is_hash else ""
    return f"<dd{title}>{html.escape(shown)}</dd>"


def _numbers(values: tuple[float, ...]) -> str:
    """Grey images have the same number in every channel: say it once."""
    return ", ".join(f"{value:.4g}" for value in dict.fromkeys(values))


def score_text(score: float) -> str:
    """Round a score for people."""
    return f"{score:.4f}" if score == 0 or score >= 0.001 else f"{score:.3e}"
