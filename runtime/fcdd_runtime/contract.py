"""ModelContract: all that the runtime knows of a model, and the one thing that export and runtime share.

The same JSON lies beside a model as `contract.json` and in the `contract` parameter of its Triton `config.pbtxt`. It
ends with a hash of itself, so that an edit by hand, or half of a copy, is noticed.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fcdd_runtime.errors import ContractError
from fcdd_runtime.outside_text import json_from_outside, read_outside_text

SCHEMA_VERSION = 2
_UNHASHED_VERSION = 1
"""Of earlier releases: no hash. Its entries mean the same; what it lacks gets the value that it was run with."""
_HASH_ENTRY = "sha256"
CONTRACT_FILE = "contract.json"
GOLDEN_FILE = "golden.npz"
CONTRACT_PARAMETER = "contract"
"""Name of the entry of `parameters` in config.pbtxt that holds the contract's JSON."""
GOLDEN_PARAMETER = "golden"
"""Name of the entry that holds the golden vectors: the bytes of golden.npz, base64."""

LARGEST_IMAGE = 4096
"""Rows or columns of a network's image; the published networks take 224."""
LARGEST_BATCH = 4096
MAX_CONTRACT_BYTES = 2**20
"""Of its JSON; ours have some kilobytes."""
_SHOWN_CHARACTERS = 100
"""Of a value in a message."""

Precision = Literal["fp32", "fp16", "int8"]
Target = Literal["tensorrt", "tensorrt-rtx", "onnxruntime", "python"]


@dataclass(frozen=True)
class Resize:
    """How an 8-bit breast image becomes the network's square image (PIL bilinear with antialiasing, on uint8)."""

    rule: Literal["squash", "shorter_side_center_crop"]
    """`squash`: both sides to `size` (published `preproc` "none"); `shorter_side_center_crop`: the shorter side to
    `shorter_side`, then the central `size` x `size` pixels (published "aug1", as at test time)."""
    size: int
    """Side of the network's image, pixels."""
    shorter_side: int
    """Length of the shorter side before the crop, pixels; equals `size` for `squash`."""


@dataclass(frozen=True)
class MipRecipe:
    """How a DICOM study becomes breast images. Never published with the network, so the exporting site states it.

    A default is what a contract, recipe file or snapshot means that lacks the entry: what releases did that did not
    know it. So the default of an entry never changes.
    """

    post_contrast_phase: int = 1
    """Which phase after contrast the pre-contrast phase is subtracted from; 1 is the first after contrast."""
    projection: Literal["axial"] = "axial"
    """Maximum intensity projection along the patient's head-foot axis, so that anterior (the nipple) is up."""
    window_low: float = 0.0
    """Subtraction value (rescaled scanner units) that becomes grey 0; lower values clip."""
    window_high_quantile: float = 0.998
    """Quantile (0..1) of the subtraction values in all breast images of a study that becomes grey 255. Air that is
    cleared counts as `window_low`."""
    crop: Literal["field", "breast"] = "field"
    """Where a breast image ends in front and on the lateral side: with the field of view, or `crop_margin_mm` in front
    of that breast's foremost skin and beside its outermost."""
    crop_margin_mm: float = 10.0
    """Air that `breast` leaves around the skin where the field of view reaches so far, mm."""
    air: Literal["keep", "clear"] = "keep"
    """Whether what lies in front of the skin and beside it is shown, or is black (`window_low`)."""
    posterior_margin_mm: float = 30.0
    """How far behind the skin over the sternum a breast image reaches, mm."""
    mirror_left: bool = False
    """Whether the left breast's image is flipped left-right, so that lateral is on the same side in both.

    Give what the training images were. That holds for both images of a network that compares two: the published
    loader flips an image and its reference together or not at all, and never turns one towards the other, so a breast
    and its reference are each oriented as they would be if they were scored alone."""
    resample: bool = False
    """Whether a post-contrast phase whose grid is shifted by less than one voxel is interpolated onto the pre-contrast
    phase's; otherwise such a study is refused."""

    def mirrors(self, laterality: str) -> bool:
        """Whether the image of this side, `L` or `R`, is flipped left-right."""
        return self.mirror_left and laterality == "L"


@dataclass(frozen=True)
class Upsampling:
    """Receptive field of one map cell, from which the published heatmap upsampling follows."""

    jump: int
    """Distance of neighbouring cells' receptive fields, image pixels."""
    extent: int
    """Side of a receptive field, image pixels: the size of the Gaussian kernel."""
    shift: float
    """Centre of the first cell's receptive field, image pixels; the published code truncates it to an integer."""
    std: float
    """Standard deviation of the Gaussian, image pixels (`gauss_std` of the training configuration)."""


@dataclass(frozen=True)
class Display:
    """How heatmaps are scaled for people. Has no influence on scores."""

    quantile: float
    """Quantile (0..1] of a heatmap, after subtracting its minimum, that is shown as full colour."""
    reference_range: tuple[float, float]
    """Minimum of the verification images' heatmaps, and how far above it their `quantile` lies (low and span, not
    low and high): the scale that makes the colours of different exams comparable (`global`), heatmap units."""


@dataclass(frozen=True)
class OperatingPoint:
    """The score at and above which a breast is flagged."""

    threshold: float
    """Anomaly score; flagged means score >= threshold."""
    sensitivity: float | None
    """Sensitivity (0..1) that the threshold was set for, where it is known."""
    source: str
    """What it was determined on, in words."""


@dataclass(frozen=True)
class GreyRange:
    """What a site's own images look like that a model was verified on; each range is widened by half of itself."""

    images: int
    """How many they were."""
    black: tuple[float, float]
    """Share of an image's pixels that are black, smallest and largest."""
    white: tuple[float, float]
    """The same of white ones."""
    mean: tuple[float, float]
    """Mean grey of an image, 0 (black) to 1."""


@dataclass(frozen=True)
class EngineSource:
    """The ONNX graph that TensorRT engines of a model are built from, in the folder of the artefact."""

    file: str
    """File name. That of the artefact itself, unless that is an engine, or made for CPUs alone."""
    golden: str
    """Name of the file with the golden vectors that an engine of it has to answer."""
    sha256: str
    """Hash of the graph."""


@dataclass(frozen=True)
class ModelContract:
    """What a model takes, what it gives, how its images are made and its maps shown, and what it was made from."""

    schema_version: int
    name: str
    """Model name in the Triton repository, such as `fcdd_fp16`."""
    network: str
    """Class name of the published network, such as `FCDD_CNN224_VGG_NOPT`."""
    objective: str
    """Training objective of the published code, such as `fcdd`."""
    inputs: tuple[str, ...]
    """Names of the input tensors, each uint8 [N, 1, size, size], 0..255; outputs are always `score` float32 [N, 1]
    and `anomaly_map` float32 [N, 1, *map_shape]."""
    resize: Resize
    recipe: MipRecipe
    map_shape: tuple[int, int]
    """Rows and columns of the anomaly map."""
    map_kind: Literal["fcdd", "grad_cam"]
    """`fcdd`: the score is the mean of the map, so it is an exact explanation; `grad_cam`: a saliency map."""
    upsampling: Upsampling
    display: Display
    operating_point: OperatingPoint | None
    precision: Precision
    target: Target
    """What runs the artefact: an engine of TensorRT or TensorRT-RTX, Triton's ONNX Runtime backend, or ONNX Runtime
    in Triton's Python backend."""
    artefact: str
    """Path of the model file, relative to the model folder."""
    max_batch_size: int
    mean: tuple[float, ...]
    """Normalisation inside the graph, per RGB channel, of pixels scaled to 0..1; for the record."""
    std: tuple[float, ...]
    """As `mean`: standard deviation of the training normals' pixels."""
    snapshot_sha256: str
    artefact_sha256: str
    engine_source: EngineSource | None
    """None: no engine can be built of this model; `engine_refusal` says why."""
    versions: dict[str, str]
    """Package versions that the export ran with."""
    notes: tuple[str, ...] = ()
    """What a user of the model must know, such as an accepted drift and its reason."""
    engine_refusal: str | None = None
    """What the gate said of the graph that engines would be built from, in a sentence."""
    grey: GreyRange | None = None
    """None: the model was verified on drawn images, on too few, or by an earlier release."""

    def flags(self, score: float) -> bool | None:
        """Whether a score reaches the operating point; None without one."""
        return None if self.operating_point is None else score >= self.operating_point.threshold

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of all entries: what results name, to tell apart models that differ in anything."""
        return _digest(dataclasses.asdict(self))

    def to_json(self) -> str:
        """Return the contract as JSON text, keys in declaration order and its hash last, ending in a newline."""
        return json.dumps(dataclasses.asdict(self) | {_HASH_ENTRY: self.sha256}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelContract":
        """Read a contract.

        Raises
        ------
        ContractError
            If the text is no JSON object, of another schema version, not as it was written, or an entry is missing,
            unknown or mistyped.
        """
        try:
            document = json_from_outside(text, MAX_CONTRACT_BYTES)
        except ValueError as error:
            raise ContractError(f"the model's contract is not JSON ({error}); export the model again") from error
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version not in (_UNHASHED_VERSION, SCHEMA_VERSION):
            raise ContractError(
                f"the model's contract has schema version {_shown(version)}, this program reads {_UNHASHED_VERSION} "
                f"and {SCHEMA_VERSION}; export the model with the same release as the runtime"
            )
        if version == SCHEMA_VERSION and document.pop(_HASH_ENTRY, None) != _digest(document):
            raise ContractError(
                "the model's contract is not as it was written; export the model again, or to set another operating "
                "point give the untouched folder to fcdd-export with --operating-point"
            )
        document["schema_version"] = SCHEMA_VERSION
        try:
            contract: ModelContract = from_plain(cls, document)
            _check_ranges(contract)
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"the model's contract is damaged ({error}); export the model again") from error
        return contract


def _digest(document: dict[str, Any]) -> str:
    """Hash entries, whatever their order, as `json` writes them: equal numbers give equal text, read or computed."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_contract(folder: Path) -> ModelContract:
    """Read the contract of an exported model folder.

    Raises
    ------
    ContractError
        If there is none, or it cannot be read.
    """
    path = folder / CONTRACT_FILE
    try:
        text = read_outside_text(path, MAX_CONTRACT_BYTES)
    except (OSError, ValueError) as error:
        raise ContractError(
            f"{folder} has no readable {CONTRACT_FILE}; give a model folder written by fcdd-export"
        ) from error
    return ModelContract.from_json(text)


def recipe_from_plain(values: dict[str, Any]) -> MipRecipe:
    """Build a recipe from parsed TOML or JSON values; entries left out keep their defaults.

    Raises
    ------
    ContractError
        If an entry is unknown, mistyped or out of range.
    """
    try:
        recipe: MipRecipe = from_plain(MipRecipe, values)
        _check_recipe(recipe)
    except (TypeError, ValueError) as error:
        raise ContractError(f"the MIP recipe cannot be used: {error}") from error
    return recipe


def _check_recipe(recipe: MipRecipe) -> None:
    if (
        not 1 <= recipe.post_contrast_phase <= 1000
        or not 0 < recipe.window_high_quantile <= 1
        or not 0 <= recipe.posterior_margin_mm <= 1000
        or not 0 <= recipe.crop_margin_mm <= 1000
    ):
        raise ValueError(
            "post_contrast_phase is in 1 to 1000, window_high_quantile in (0, 1], posterior_margin_mm and "
            "crop_margin_mm in 0 to 1000"
        )


def _check_ranges(contract: ModelContract) -> None:
    """Refuse what would answer nonsense instead of failing. Numbers that are not finite are refused on reading."""
    _check_recipe(contract.recipe)
    upsampling, resize, point = contract.upsampling, contract.resize, contract.operating_point
    sound = {
        "inputs": contract.inputs in (("mip",), ("mip", "reference")),
        "resize": 1 <= resize.size <= resize.shorter_side <= LARGEST_IMAGE,
        "map_shape": 1 <= min(contract.map_shape) <= max(contract.map_shape) <= LARGEST_IMAGE,
        "upsampling": 1 <= upsampling.jump <= LARGEST_IMAGE
        and 1 <= upsampling.extent <= LARGEST_IMAGE
        and 0 < upsampling.std <= LARGEST_IMAGE
        and 0 <= upsampling.shift <= LARGEST_IMAGE,
        "display": 0 < contract.display.quantile <= 1,
        "operating_point": point is None or point.sensitivity is None or 0 <= point.sensitivity <= 1,
        "max_batch_size": 1 <= contract.max_batch_size <= LARGEST_BATCH,
    }
    if wrong := [name for name, fine in sound.items() if not fine]:
        raise ValueError(f"{', '.join(wrong)} out of range")


def from_plain(kind: Any, value: Any) -> Any:
    """Turn parsed JSON into an instance of `kind`: a dataclass, tuple, dict, Literal, union or scalar type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_plain(kind, value)
    if origin is types.UnionType:
        return None if value is None else from_plain(arguments[0], value)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{_shown(value)} is none of {arguments}")
        return value
    if origin is tuple:
        return _tuple_from_plain(arguments, value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"{_shown(value)} is no object")
        return {str(key): from_plain(arguments[1], entry) for key, entry in value.items()}
    if kind is float and type(value) is int:
        return float(value)
    if kind is float and type(value) is float and not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    if type(value) is not kind:
        raise TypeError(f"{_shown(value)} is no {kind.__name__}")
    return value


def _shown(value: Any) -> str:
    """Write a value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _dataclass_from_plain(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{_shown(value)} is no set of {kind.__name__} entries")
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(value) - set(hints)):
        raise ValueError(f"unknown entries {_shown(unknown)}")
    return kind(**{name: from_plain(hints[name], entry) for name, entry in value.items()})


def _tuple_from_plain(arguments: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{_shown(value)} is no list")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        raise ValueError(f"{_shown(value)} does not have {len(kinds)} entries")
    return tuple(from_plain(kind, entry) for kind, entry in zip(kinds, value, strict=True))
