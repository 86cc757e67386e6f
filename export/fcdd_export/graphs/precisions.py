"""The precisions that a network is exported in, a row each: whatever differs from one to another stands here.

What makes a precision's graph stands beside its name in `convert.CONVERTERS`: that needs torch and onnx, and the
command's options and the building of engines, which read this table, need neither.
"""

from dataclasses import dataclass

HALF_MAX = 65504.0
"""Largest finite FP16 number."""


@dataclass(frozen=True)
class Limits:
    """What a precision may differ from FP32 at most; None is no limit."""

    score: float | None
    """Largest relative score error."""
    score_mean: float | None
    """Mean relative score error."""
    rank: float | None
    """Smallest rank correlation of the scores."""
    map: float | None
    """Largest map error, as a share of the image's largest map value."""
    map_of_set: float | None
    """Largest map error, as a share of the largest map value of all images."""
    auc: float | None
    """Farthest end of the 95 % interval of the AUC's change."""
    flips: float
    """Largest share of the images on the other side of the operating point; one may be on its edge, and does not count.
    """
    extreme: float | None
    """Largest score and map error of images at the ends of the input range. They are there to find overflows; in a
    flat image every cell is rounded alike, so that errors add up which the mean of a real image's score takes out."""


@dataclass(frozen=True)
class PrecisionSpec:
    """What has to be known of a precision beside what makes its graph."""

    limits: Limits
    """The gate's."""
    golden_limit: float
    """Largest relative score error, and largest map error as a share of the image's largest map value, that golden
    vectors allow at least: another machine sums in another order, or keeps half-precision sums in other registers."""
    trunk_type: str | None
    """TensorRT's `DataType` that every layer of the trunk answers; None: it varies."""
    largest_activation: float | None = None
    """Largest finite number of the trunk's type, where the report states it."""
    quantized: bool = False
    """Whether TensorRT's convolutions take image and weights from DEQUANTIZE layers."""
    calibrated: bool = False
    """Whether images are needed to make it."""
    own_graph_for_tensorrt: bool = False
    """Whether TensorRT takes another graph than CPUs do."""
    better_than_fast: str = ""
    """What to try first where a limit is exceeded and `--int8-method fast` made the graph."""


PRECISIONS = {
    "fp32": PrecisionSpec(
        # Another order of summation is all that may differ.
        Limits(score=1e-4, score_mean=1e-4, rank=0.999, map=1e-4, map_of_set=1e-4, auc=0.005, flips=0.0, extreme=5e-4),
        golden_limit=1e-4,
        trunk_type="FLOAT",
    ),
    "fp16": PrecisionSpec(
        # Half has 11 bits: 5e-4 a rounding, and it is rounded about 14 times on the way through the trunk.
        Limits(score=1e-2, score_mean=1e-2, rank=0.99, map=1e-2, map_of_set=1e-2, auc=0.01, flips=0.01, extreme=5e-2),
        golden_limit=1e-2,
        trunk_type="HALF",
        largest_activation=HALF_MAX,
    ),
    "int8": PrecisionSpec(
        # Eight bits cannot hold single values so close. What triage lives on is held: the order of the scores, the AUC,
        # decisions, the place and height of what stands out in the maps. Scores near zero may move by more than others,
        # because INT8's steps do not shrink with them, but not all of them, or thresholds would be wrong. White images
        # and the like end near what calibration reached, by design, but half of what they are must be left: where an
        # image saturates is where the largest lesions are.
        Limits(score=None, score_mean=0.1, rank=0.99, map=None, map_of_set=5e-2, auc=0.02, flips=0.02, extreme=0.5),
        golden_limit=2e-2,
        trunk_type=None,
        quantized=True,
        calibrated=True,
        own_graph_for_tensorrt=True,
        better_than_fast="try --int8-method accurate, ",
    ),
}
"""By the name that `--precision` and the contract give them."""
