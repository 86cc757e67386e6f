"""Golden vectors: what an artefact answers for drawn images, and how far another machine's answers may be from that."""

from dataclasses import replace

import onnx

from fcdd_export.gate.drawn import golden_images
from fcdd_export.gate.half_simulation import half_tensors, simulated_outputs
from fcdd_export.gate.outputs import onnxruntime_outputs
from fcdd_export.gate.prove import inputs_of
from fcdd_export.graphs.precisions import PRECISIONS
from fcdd_runtime.backends.golden import GoldenVectors, errors_between
from fcdd_runtime.contract import Precision

MARGIN = 2
"""How much farther than the two ways of computing an artefact here are apart a third way may be from them."""


def golden_of(artefact: onnx.ModelProto, precision: Precision) -> GoldenVectors:
    """Run an artefact on the golden images.

    Where the artefact holds FP16, it is also run with every tensor rounded to half, as a GPU does. What lies between
    the two ways is no fault of a machine, so that the limit is wider where it is more than the precision's own: an
    INT8 graph with an FP16 layer in front rounds some values to the next code.
    """
    inputs = inputs_of(golden_images(), [value.name for value in artefact.graph.input])
    outputs = onnxruntime_outputs(artefact, inputs)
    limit = PRECISIONS[precision].golden_limit
    golden = GoldenVectors(inputs["mip"], outputs.scores, outputs.maps, inputs.get("reference"), limit)
    if not half_tensors(artefact):
        return golden
    rounded, _ = simulated_outputs(artefact, inputs)
    limit = max(golden.limit, MARGIN * max(errors_between((rounded.scores, rounded.maps), golden)))
    return replace(golden, limit=limit)
