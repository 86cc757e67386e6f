"""Heatmap -> floating point Parametric Map that lies on the projection in patient space."""

from dataclasses import dataclass

import highdicom
import numpy as np
import numpy.typing as npt
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from fcdd_runtime.contract import ModelContract
from fcdd_runtime.images.network_input import image_position, resized_shape
from fcdd_runtime.pacs.objects import NOT_FOR_DIAGNOSIS, USE_STATEMENT, ResultObjects, Series, set_source, single_frames
from fcdd_runtime.pacs.source_slice import SourceSlice, Vector, unit
from fcdd_runtime.result import BreastResult
from fcdd_runtime.study.slices import Plane


@dataclass(frozen=True)
class MapGeometry:
    """Where a heatmap lies in the patient: LPS, mm."""

    origin_mm: Vector
    """Centre of pixel (0, 0)."""
    along_row: Vector
    """Unit vector in which columns follow each other: to the patient's left, as near as the acquisition allows."""
    down_column: Vector
    """Unit vector in which rows follow each other: to the back."""
    pixel_mm: tuple[float, float]
    """Distance of neighbouring rows and of neighbouring columns."""


def parametric_map(breast: BreastResult, source: SourceSlice, objects: ResultObjects, series: Series) -> ParametricMap:
    """Return the heatmap as float32 DICOM, every value as the model gave it, no pixel resampled.

    A projection has no place along its own direction. The plane is put where the peak is, so that a viewer which lays
    it over the source study shows it on the slice that a reader should look at.
    """
    contract = objects.result.contract
    geometry = map_geometry(breast, source.plane, contract)
    axes = [*map(float, geometry.along_row), *map(float, geometry.down_column)]
    same_value = RealWorldValueMapping(
        lut_label="anomaly",
        lut_explanation="Anomaly heatmap",
        unit=codes.UCUM.NoUnits,
        value_range=(float(breast.heatmap.min()), float(breast.heatmap.max())),
        slope=1.0,
        intercept=0.0,
    )
    low, span = contract.display.reference_range
    width = span if span > 0 else 1.0
    window = highdicom.VOILUTTransformation(
        window_center=low + width / 2, window_width=width, voi_lut_function="LINEAR_EXACT"
    )
    result = ParametricMap(
        source_images=single_frames(source, breast.image.shape, [source.index]),
        pixel_array=np.ascontiguousarray(shown_heatmap(breast, contract)),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[same_value],
        voi_lut_transformations=[window],
        pixel_measures=highdicom.PixelMeasuresSequence(geometry.pixel_mm, slice_thickness=source.thickness_mm),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", axes),
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", [*map(float, geometry.origin_mm)])],
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        content_description=f"FCDD heatmap. {NOT_FOR_DIAGNOSIS}",
        content_label="FCDD_HEATMAP",
        content_qualification="RESEARCH",
        image_flavor="VOLUME",
        derived_pixel_contrast="NONE",
        **series,
    )
    result.BodyPartExamined, result.Laterality = "BREAST", breast.laterality
    result.ImageComments = USE_STATEMENT
    dimensions = objects.uid("dimensions of map", breast)
    result.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions
    result.DimensionIndexSequence[0].DimensionOrganizationUID = dimensions
    set_source(result, source)
    derivation = Dataset()
    derivation.DerivationCodeSequence = [highdicom.sr.CodedConcept.from_code(codes.DCM.MaximumIntensityProjection)]
    derivation.SourceImageSequence = result.SourceImageSequence
    result.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = [derivation]
    result.update(source.loss)
    objects.finish(result, source)
    return result


def shown_heatmap(breast: BreastResult, contract: ModelContract) -> npt.NDArray[np.float32]:
    """Return the heatmap with the patient's right at the left, also where the network saw it mirrored."""
    return breast.heatmap[:, ::-1] if contract.recipe.mirrors(breast.laterality) else breast.heatmap


def map_geometry(breast: BreastResult, plane: Plane, contract: ModelContract) -> MapGeometry:
    """Return where `shown_heatmap` lies: parallel to the projection, through the voxel of the peak.

    Parameters
    ----------
    plane : of the slice that holds the peak; its axes are those of the voxels that were projected
    """
    # Of the voxel axes, one runs down the rows of the projection, to the back, and one along its columns, to the left.
    voxel_axes = [unit(axis) for axis in (plane.normal, plane.row_step_mm, plane.column_step_mm)]
    down_column, along_row = (voxel_axes[axis] for axis in breast.axes[1:])
    down_column, along_row = down_column * np.sign(down_column[1]), along_row * np.sign(along_row[0])
    shape = breast.image.shape
    first = image_position((0, 0), shape, contract.resize)
    last_column = image_position((0, contract.resize.size - 1), shape, contract.resize)[1]
    peak_row, peak_column = breast.peak.image_pixel
    right = last_column - peak_column if contract.recipe.mirrors(breast.laterality) else peak_column - first[1]
    down = peak_row - first[0]
    origin = (
        np.array(breast.peak.patient_mm)
        - down * breast.pixel_mm[0] * down_column
        - right * breast.pixel_mm[1] * along_row
    )
    resized = resized_shape(shape, contract.resize)
    rows, columns = (side * length / size for side, length, size in zip(breast.pixel_mm, shape, resized, strict=True))
    return MapGeometry(origin, along_row, down_column, (rows, columns))
