"""Lines of equal heat: where they lie, and on which picture."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from result_builders import make_breast, make_contract

from fcdd_runtime.contract import Display, MipRecipe
from fcdd_runtime.report.rings import line_at, ring_levels, rings_mm
from fcdd_runtime.result import BreastResult


def cone(centre: tuple[float, float], height: float = 100.0) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[:224, :224]
    heat: npt.NDArray[np.float32] = (height - np.hypot(rows - centre[0], columns - centre[1])).clip(0)
    return heat.astype(np.float32)


def breast_with(heatmap: npt.NDArray[np.float32], shape: tuple[int, int], laterality: str) -> BreastResult:
    return replace(make_breast(laterality), heatmap=heatmap, image=np.zeros(shape, np.uint8), pixel_mm=(2.0, 1.0))


@pytest.mark.parametrize("level", [40.0, 90.25])
def test_a_line_of_a_cone_is_a_closed_circle(level: float) -> None:
    segments = line_at(cone((100.0, 120.5)), level)
    radii = np.linalg.norm(segments - np.array([100.0, 120.5]), axis=-1)
    assert radii == pytest.approx(100 - level, abs=0.1)
    ends, counts = np.unique(segments.reshape(-1, 2).round(9), axis=0, return_counts=True)
    assert len(ends) > 20
    assert (counts == 2).all()  # every end is the beginning of another segment


def test_where_diagonal_pixels_are_hot_two_lines_part_them() -> None:
    assert len(line_at(np.array([[1, 0], [0, 1]], np.float32), 0.5)) == 2


def test_a_flat_heatmap_has_no_line() -> None:
    assert line_at(np.zeros((224, 224), np.float32), 0.5).shape == (0, 2, 2)


def test_lines_lie_at_the_end_of_the_scale_and_at_its_doubles_below_the_highest() -> None:
    contract = replace(make_contract(), display=Display(0.97, (2.0, 10.0)))
    assert ring_levels(breast_with(cone((50, 50), 100), (112, 224), "R"), contract, "global") == [12, 22, 42, 82]
    assert ring_levels(breast_with(cone((50, 50), 11), (112, 224), "R"), contract, "global") == []
    local = ring_levels(breast_with(cone((50, 50), 100), (112, 224), "R"), contract, "local")
    assert len(local) >= 1
    assert local[0] == pytest.approx(np.quantile(cone((50, 50), 100), 0.97), rel=0.01)


@pytest.mark.parametrize(("mirror", "laterality"), [(False, "L"), (True, "L"), (True, "R")])
def test_lines_surround_the_place_that_the_heat_was_seen_at(mirror: bool, laterality: str) -> None:
    recipe = MipRecipe(mirror_left=mirror)
    contract = replace(make_contract(recipe=recipe), display=Display(0.97, (0.0, 60.0)))
    breast = breast_with(cone((60.0, 80.0)), (112, 224), laterality)
    points = rings_mm(breast, contract, "global").reshape(-1, 2)
    # Rows are squeezed to a half and 2 mm high, columns are as they are and 1 mm wide.
    column = 223 - 80.0 if recipe.mirrors(laterality) else 80.0
    assert points.mean(axis=0) == pytest.approx([60.5, column + 0.5], abs=0.6)
    assert np.ptp(points, axis=0) == pytest.approx([80, 80], abs=1)
