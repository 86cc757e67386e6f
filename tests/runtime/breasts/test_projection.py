"""Subtraction and projection: signed, streamed, in the patient's orientation, and every pixel knows its voxel."""

import weakref
from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fcdd_runtime.breasts.projection import Projection, project
from fcdd_runtime.errors import StudyError
from fcdd_runtime.volumes.volume import Grid, SliceSource, Volume, reading_threads, volume_from_array

Vector = tuple[float, float, float]

STEP_MM = {"z": 3.0, "y": 1.5, "x": 2.0}
CORNER_MM = np.array([-20.0, -30.0, 40.0])
RANDOM = np.random.default_rng(3)
PRE = RANDOM.integers(0, 500, (7, 9, 11))
POST = RANDOM.integers(0, 500, (7, 9, 11))


def acquired(voxels: npt.NDArray[np.generic], axes: str = "zyx", backwards: str = "") -> Volume:
    """Turn voxels (z foot to head, y front to back, x right to left) into the volume of some acquisition."""
    order = ["zyx".index(axis) for axis in axes]
    flipped = voxels.transpose(order)[tuple(slice(None, None, -1 if axis in backwards else 1) for axis in axes)]
    origin, steps = CORNER_MM.copy(), []
    for axis in axes:
        unit = np.eye(3)["xyz".index(axis)] * STEP_MM[axis]
        size = voxels.shape["zyx".index(axis)]
        origin = origin + unit * (size - 1) if axis in backwards else origin
        steps.append(_vector(-unit if axis in backwards else unit))
    sources = tuple(SliceSource(f"1.2.{index}", None) for index in range(len(flipped)))
    first, second, third = flipped.shape
    return volume_from_array(
        flipped, Grid((first, second, third), _vector(origin), (steps[0], steps[1], steps[2])), sources
    )


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


def every_patient_mm(projection: Projection) -> npt.NDArray[np.float64]:
    rows, columns = projection.maximum.shape
    return np.array([[projection.patient_mm(row, column) for column in range(columns)] for row in range(rows)])


def test_the_maximum_is_that_of_the_signed_difference() -> None:
    projection = project(acquired(PRE.astype(np.uint16)), acquired(POST.astype(np.uint16)))
    np.testing.assert_array_equal(projection.maximum, (POST - PRE).max(axis=0))
    np.testing.assert_array_equal(projection.depth, (POST - PRE).argmax(axis=0))
    np.testing.assert_allclose(projection.pre_mean, PRE.mean(axis=0), rtol=1e-6)
    assert projection.maximum.dtype == projection.pre_mean.dtype == np.float32


def test_where_everything_darkens_the_maximum_is_negative() -> None:
    projection = project(acquired(POST + 1000), acquired(POST))
    np.testing.assert_array_equal(projection.maximum, np.full((9, 11), -1000))


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("zyx")])
@pytest.mark.parametrize("backwards", ["".join(c) for c in product(["", "z"], ["", "y"], ["", "x"])])
def test_every_orientation_gives_the_same_images_and_positions(axes: str, backwards: str) -> None:
    straight = project(acquired(PRE), acquired(POST))
    turned = project(acquired(PRE, axes, backwards), acquired(POST, axes, backwards))
    np.testing.assert_array_equal(turned.maximum, straight.maximum)
    np.testing.assert_array_equal(turned.pre_mean, straight.pre_mean)
    np.testing.assert_allclose(every_patient_mm(turned), every_patient_mm(straight), atol=1e-9)
    assert turned.pixel_mm == straight.pixel_mm == (1.5, 2.0)
    assert turned.x_mm(3) == pytest.approx(straight.x_mm(3)) == pytest.approx(CORNER_MM[0] + 6)


@pytest.mark.parametrize("axes", ["zyx", "xzy", "xyz", "yzx"])
@pytest.mark.parametrize("backwards", ["", "z"])
def test_of_equal_values_the_one_nearest_to_the_feet_wins(axes: str, backwards: str) -> None:
    pre, post = np.zeros((5, 3, 4)), np.zeros((5, 3, 4))
    post[[1, 3]] = 7
    projection = project(acquired(pre, axes, backwards), acquired(post, axes, backwards))
    np.testing.assert_allclose(every_patient_mm(projection)[..., 2], CORNER_MM[2] + STEP_MM["z"])


@pytest.mark.parametrize("axes", ["zyx", "xzy", "yxz"])
def test_voxel_and_source_name_the_slice_that_holds_the_maximum(axes: str) -> None:
    pre, post = acquired(PRE, axes, "x"), acquired(POST, axes, "x")
    projection = project(pre, post)
    for row, column in ((0, 0), (4, 7), (8, 10)):
        index, in_row, in_column = projection.voxel(row, column)
        difference = post.read_slice(index)[in_row, in_column] - pre.read_slice(index)[in_row, in_column]
        assert difference == projection.maximum[row, column]
        assert projection.source(row, column) == post.sources[index]


def reads_of_projecting(pre: Volume, post: Volume) -> list[tuple[str, int]]:
    reads: list[tuple[str, int]] = []

    def noting(name: str, volume: Volume) -> Volume:
        def read_pixels(index: int) -> npt.NDArray[np.generic]:
            reads.append((name, index))
            return volume.read_pixels(index)

        return Volume(volume.grid, volume.sources, read_pixels)

    project(noting("pre", pre), noting("post", post))
    return reads


@pytest.mark.parametrize("axes", ["zyx", "xzy"])
def test_each_slice_of_short_integers_is_read_once(axes: str) -> None:
    pre, post = (acquired(voxels.astype(np.uint16), axes) for voxels in (PRE, POST))
    every = [(name, index) for name in ("pre", "post") for index in range(pre.grid.shape[0])]
    assert sorted(reads_of_projecting(pre, post)) == sorted(every)


def test_of_other_values_no_more_than_each_threads_first_slice_is_read_again() -> None:
    reads = reads_of_projecting(acquired(np.repeat(PRE, 9, axis=0)), acquired(np.repeat(POST, 9, axis=0)))
    assert set(reads) == {(name, index) for name in ("pre", "post") for index in range(63)}
    assert len(reads) <= 2 * (63 + reading_threads())


SHORT = ("uint8", "int8", "uint16", "int16")
OTHER = ("int32", "float32", "float64")


@st.composite
def voxels_with_ties(draw: st.DrawFn) -> npt.NDArray[np.float64]:
    """Draw few different values, the extremes of all short integers among them, so that many voxels are equal."""
    count = draw(st.integers(1, 9))
    values = st.sampled_from([0, 1, 2, 127, -128, 255, 32767, -32768, 65535])
    return draw(arrays(np.float64, (2, count, 3, 2), elements=values))


def with_dtypes(voxels: npt.NDArray[np.float64], dtypes: list[str], axes: str, backwards: str) -> Volume:
    """Make a volume whose slices, in turn, have these dtypes, with values that are too large for one clipped."""
    base = acquired(voxels, axes, backwards)

    def read_pixels(index: int) -> npt.NDArray[np.generic]:
        dtype = np.dtype(dtypes[index % len(dtypes)])
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(np.float32)
        return np.clip(base.read_slice(index), limits.min, limits.max).astype(dtype)

    return Volume(base.grid, base.sources, read_pixels)


@settings(max_examples=300, deadline=None)
@given(
    voxels=voxels_with_ties(),
    dtypes=st.one_of(
        st.tuples(st.lists(st.sampled_from(SHORT), min_size=1), st.lists(st.sampled_from(SHORT), min_size=1)),
        st.tuples(st.lists(st.sampled_from(SHORT + OTHER), min_size=1), st.lists(st.sampled_from(SHORT), min_size=1)),
    ),
    axes=st.sampled_from(["zyx", "zxy", "yzx"]),
    backwards=st.sampled_from(["", "z", "zx"]),
)
def test_whatever_the_dtypes_and_ties_the_projection_is_that_of_floats_in_order(
    voxels: npt.NDArray[np.float64], dtypes: tuple[list[str], list[str]], axes: str, backwards: str
) -> None:
    pre, post = (with_dtypes(phase, types, axes, backwards) for phase, types in zip(voxels, dtypes, strict=True))
    found = project(pre, post)
    floats = [Volume(volume.grid, volume.sources, volume.read_slice) for volume in (pre, post)]
    expected = project(floats[0], floats[1])
    for name in ("maximum", "depth", "pre_mean"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    stacks = [np.stack([volume.read_slice(index) for index in range(volume.grid.shape[0])]) for volume in floats]
    along = axes.index("z")
    np.testing.assert_array_equal(np.sort(found.maximum, axis=None), np.sort((stacks[1] - stacks[0]).max(along), None))


def test_more_slices_than_fit_into_a_key_are_projected_too() -> None:
    voxels = np.zeros((2**14 + 3, 1, 2), np.uint16)
    post = voxels.copy()
    post[[9, 2**14 + 1], 0, 0] = 5, 6
    projection = project(acquired(voxels), acquired(post))
    np.testing.assert_array_equal(projection.maximum, [[6, 0]])
    np.testing.assert_array_equal(projection.depth, [[2**14 + 1, 0]])


@pytest.mark.parametrize(("backwards", "first"), [("", 3), ("z", 5)])
def test_of_several_slices_that_cannot_be_read_the_one_nearest_to_the_feet_is_named(backwards: str, first: int) -> None:
    base = acquired(PRE.astype(np.uint16), "zyx", backwards)

    def read_pixels(index: int) -> npt.NDArray[np.generic]:
        if index in (3, 5):
            raise StudyError(f"slice {index} is damaged", "damaged")
        return base.read_pixels(index)

    with pytest.raises(StudyError, match=f"slice {first} is damaged"):
        project(base, Volume(base.grid, base.sources, read_pixels))


def test_the_voxels_that_a_volume_wraps_stay_as_they_are() -> None:
    pre, post = PRE.astype(np.float32), POST.astype(np.float32)
    project(acquired(pre), acquired(post))
    np.testing.assert_array_equal(pre, PRE)
    np.testing.assert_array_equal(post, POST)


def test_only_a_few_slices_are_in_memory_at_a_time() -> None:
    count = 200
    alive = 0
    most_alive = 0

    def ended() -> None:
        nonlocal alive
        alive -= 1

    def read_slice(index: int) -> npt.NDArray[np.float32]:
        nonlocal alive, most_alive
        array = np.full((8, 8), index, np.float32)
        weakref.finalize(array, ended)
        alive += 1
        most_alive = max(most_alive, alive)
        return array

    grid = Grid((count, 8, 8), (0.0, 0.0, 0.0), ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))
    volume = Volume(grid, (SliceSource("1.2", None),) * count, read_slice)
    project(volume, volume)
    assert most_alive <= 4 * (reading_threads() + 1)


def turned_about(axis: str, degrees: float) -> Callable[[Vector], Vector]:
    first, second = (index for index in range(3) if "xyz"[index] != axis)
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(np.deg2rad(degrees))
    turn[first, second], turn[second, first] = -np.sin(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return lambda vector: _vector(turn @ np.array(vector))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_an_oblique_volume_is_projected_along_its_nearest_axis(axis: str) -> None:
    turn = turned_about(axis, 20)
    straight = [acquired(voxels, "xzy", "y") for voxels in (PRE, POST)]
    slice_step, row_step, column_step = straight[0].grid.step_mm
    grid = Grid(
        straight[0].grid.shape, straight[0].grid.origin_mm, (turn(slice_step), turn(row_step), turn(column_step))
    )
    pre, post = (Volume(grid, volume.sources, volume.read_slice) for volume in straight)
    projection = project(pre, post)
    np.testing.assert_array_equal(projection.maximum, (POST - PRE).max(axis=0))
    assert projection.patient_mm(2, 5) == grid.patient_mm(projection.voxel(2, 5))
