"""Regions of a heatmap -> binary Segmentation on the source slices."""

from collections.abc import Sequence

import highdicom
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from fcdd_runtime.images.regions import DEPTH, Region, region_level
from fcdd_runtime.pacs.objects import (
    NOT_FOR_DIAGNOSIS,
    SCHEME,
    SIDE_CODES,
    ResultObjects,
    Series,
    set_source,
    single_frames,
)
from fcdd_runtime.pacs.source_slice import SourceSlice
from fcdd_runtime.result import BreastResult
from fcdd_runtime.software import NAME, software_version

REGION = Code("response", SCHEME, "Region of network response, depth from the brightest voxel")
SCATTERED = Code("scattered", SCHEME, "Scattered rest of the region, depth from the brightest voxel")
"""What a segment is. It is nothing that was found in the patient: no standard code of anatomy or disease fits."""


def segmentation(
    breast: BreastResult, regions: Sequence[Region], source: SourceSlice, objects: ResultObjects, series: Series
) -> Segmentation:
    """Return regions on the slices that they touch, with their rows, columns, orientation and positions.

    A region is a segment, and another one if some of it is scattered, so that a viewer can switch that off.

    Parameters
    ----------
    regions : at least one, of this breast
    """
    segments = [
        (kind, region, voxels)
        for region in regions
        for kind, voxels in ((REGION, region.voxels), (SCATTERED, region.scattered))
        if len(voxels)
    ]
    touched = np.unique(np.concatenate([voxels[:, 0] for *_, voxels in segments])).tolist()
    place = np.full(breast.volume_shape[0], -1)
    place[touched] = np.arange(len(touched))
    # No voxel is of two segments, so that numbers say it all, which highdicom takes ten times faster.
    numbers = np.zeros((len(touched), *breast.volume_shape[1:]), dtype=np.uint16)
    for number, (_, _, voxels) in enumerate(segments, 1):
        slices, rows, columns = voxels.T
        numbers[place[slices], rows, columns] = number
    result = Segmentation(
        source_images=single_frames(source, breast.volume_shape[1:], touched),
        pixel_array=numbers,
        segmentation_type="BINARY",
        segment_descriptions=[
            _described(number, kind, region, breast, objects) for number, (kind, region, _) in enumerate(segments, 1)
        ],
        content_label="FCDD_RESPONSE",
        content_description=f"FCDD response regions. {NOT_FOR_DIAGNOSIS}",
        **series,
    )
    result.BodyPartExamined = "BREAST"
    dimensions = objects.uid("dimensions of region", breast)
    for item in (*result.DimensionOrganizationSequence, *result.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
    # highdicom was told places of slices as their UIDs; frames of one slice may share an item.
    items = [
        frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in result.PerFrameFunctionalGroupsSequence
    ]
    named = dict(zip(touched, source.images(touched), strict=True))
    for item in {id(item): item for item in items}.values():
        item.update(named[int(item.ReferencedSOPInstanceUID.rpartition(".")[2])])
    set_source(result, source, touched)
    result.update(source.loss)
    objects.finish(result, source)
    return result


def _described(
    number: int, kind: Code, region: Region, breast: BreastResult, objects: ResultObjects
) -> SegmentDescription:
    contract = objects.result.contract
    described = SegmentDescription(
        segment_number=number,
        segment_label=kind.meaning,
        segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"{NAME} {objects.model_name}"[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=software_version(),
            source=NAME,
        ),
        tracking_uid=objects.uid(f"segment {number}", breast),
        tracking_id=f"{kind.value} {breast.laterality} {number}",
        anatomic_regions=[codes.SCT.Breast],
    )
    described.SegmentDescription = (
        f"Heatmap above {region_level(contract.display):.6g}, at most {region.highest:.6g}; {DEPTH} voxels before and "
        "behind the one that each pixel of the projection shows"
    )
    side = highdicom.sr.CodedConcept.from_code(SIDE_CODES[breast.laterality])
    described.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [side]
    return described
