"""StudyResult -> one HTML page that needs no network: styles, script and images are inside it.

Series descriptions come from outside, so every text is escaped, and the page's content security policy allows its own
script only.
"""

import math
from dataclasses import replace

from PIL import Image

from fcdd_runtime.contract import ModelContract, OperatingPoint
from fcdd_runtime.findings import KINDS
from fcdd_runtime.images.heatmap import display_range
from fcdd_runtime.report.colormap import DEFAULT_LOOK, SCALES, Look, color_table
from fcdd_runtime.report.overlay import OPACITY, display_image, heat_layer, peak_mm, seen_part
from fcdd_runtime.report.pages import RESULT_PAGES, data_uri
from fcdd_runtime.report.rings import Segments, rings_mm
from fcdd_runtime.report.words import SIDES
from fcdd_runtime.result import BreastResult, StudyResult


def study_page(result: StudyResult, study: str, look: Look = DEFAULT_LOOK) -> str:
    """Return the report as the text of one HTML file; `study` is the short name that it gives the study."""
    contract = result.contract
    low, span = contract.display.reference_range
    return RESULT_PAGES.get_template("study_page.html").render(
        result=result,
        study=study,
        look=look,
        opacity=OPACITY,
        color_bar=data_uri(Image.fromarray(color_table(look.colormap)[None])),
        global_range=(low, low + span),
        axis_end=_axis_end(result),
        sensitivity=_sensitivity(contract.operating_point),
        review=[(finding.sentence, KINDS[finding.code].advice) for finding in result.review],
        notes=[*(finding.sentence for finding in result.notes), *(f"Model: {note}" for note in contract.notes)],
        views=[_view(breast, contract, look) for breast in result.breasts],
        image_facts=_image_facts(result),
        model_facts=_model_facts(contract),
    )


def _axis_end(result: StudyResult) -> float:
    """Return a round number with room beyond the largest score and the threshold."""
    point = result.contract.operating_point
    largest = 1.1 * max(result.exam_score, 0 if point is None else point.threshold)
    if largest <= 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(largest))
    return next(step * decade for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * decade >= largest)


def _sensitivity(point: OperatingPoint | None) -> str:
    return "" if point is None or point.sensitivity is None else f" (set for {100 * point.sensitivity:g} % sensitivity)"


def _view(breast: BreastResult, contract: ModelContract, look: Look) -> dict[str, object]:
    """Return the pictures of a breast, and where things lie on them: mm to the right and below the corner."""
    rows, columns = breast.image.shape
    height, width = rows * breast.pixel_mm[0], columns * breast.pixel_mm[1]
    below_top, from_left = peak_mm(breast, contract)
    top, left, bottom, right = seen_part(breast, contract)
    seen = {"x": left * width, "y": top * height, "width": (right - left) * width, "height": (bottom - top) * height}
    low, span = display_range(breast.heatmap, contract.display.quantile)
    return {
        "mip": data_uri(display_image(breast, contract)),
        "heat_global": data_uri(heat_layer(breast, contract, replace(look, scale="global"))),
        "heat_local": data_uri(heat_layer(breast, contract, replace(look, scale="local"))),
        "heatmap_range": (low, low + span),
        "width_mm": width,
        "height_mm": height,
        "peak_mm": (from_left, below_top),
        "seen": seen,
        "rings": {scale: _path(rings_mm(breast, contract, scale)) for scale in SCALES},
        "highest": float(breast.heatmap.max()),
    }


def _path(segments: Segments) -> str:
    """Return line segments in mm as an SVG path."""
    return "".join(f"M{x0:.2f} {y0:.2f}L{x1:.2f} {y1:.2f}" for (y0, x0), (y1, x1) in segments.tolist())


def _image_facts(result: StudyResult) -> dict[str, str]:
    phases, split, recipe = result.phases, result.split, result.contract.recipe
    if result.contract.resize.rule == "squash":
        seen = "the whole breast image, inside the dashed frame"
    else:
        seen = "the centre of the breast image, inside the dashed frame"
    return {
        "Pre-contrast": phases.pre,
        "Post-contrast": phases.post,
        "Phases": f"{phases.count} found, told apart by {phases.method}",
        "Image": "post-contrast minus pre-contrast, signed; axial maximum intensity projection, anterior up",
        "Seen by the network": seen,
        "Crop": f"{recipe.crop_margin_mm:g} mm beyond the skin" if recipe.crop == "breast" else "field of view",
        "Air": "black" if recipe.air == "clear" else "as acquired",
        "Grey window": f"{recipe.window_low:g} to the {100 * recipe.window_high_quantile:g} % quantile of the study",
        "Left and right": f"{split.method}, confidence {100 * split.confidence:.0f} %",
        **({f"{SIDES[split.empty_side]} side": "no breast here"} if split.empty_side else {}),
        "Midline": f"x = {split.midline_x_mm:.1f} mm (LPS)",
        "Study UID": result.study_instance_uid,
    }


def _model_facts(contract: ModelContract) -> dict[str, str]:
    point = contract.operating_point
    if contract.map_kind == "fcdd":
        heatmap = "anomaly map; the score is its mean"
    else:
        heatmap = "saliency (Grad-CAM); the score is not its mean"

    def numbers(channels: tuple[float, ...]) -> str:
        """Grey images have the same number in every channel: say it once."""
        return ", ".join(f"{value:.4g}" for value in dict.fromkeys(channels))

    return {
        "Model": contract.name,
        "Network": f"{contract.network}, objective {contract.objective}",
        "Precision": f"{contract.precision}, artefact for {contract.target}",
        "Heatmap": heatmap,
        "Threshold": "none" if point is None else f"{point.threshold:g}{_sensitivity(point)}: {point.source}",
        "Mean / std": f"{numbers(contract.mean)} / {numbers(contract.std)}",
        "Snapshot": contract.snapshot_sha256,
        "Artefact": contract.artefact_sha256,
        "Versions": ", ".join(f"{name} {version}" for name, version in contract.versions.items()),
    }
