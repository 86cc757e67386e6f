"""What tells the phases of a dynamic study apart: one table, a row an attribute, the most trusted first.

A vendor's attribute is one row, also if it is a private tag: headers are read for it, and phases are ordered and
checked by it. The table lies in `study`, which reads the values and imports nothing from above; all that `phases` knows
of an attribute, it takes from the same rows.

A number of the phase in (0019,xxA2), say, in the block that its creator calls ACME DYNAMICS, is trusted before all
others as the first row:

    number = Element(PrivateTag(0x0019, 0xA2, "ACME DYNAMICS"))
    PhaseAttribute("Acme phase", "Acme phase", (number,), (number,), "number", tolerance=0.0, numbers_phases=True)
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydicom.dataset import Dataset

from fcdd_runtime.study.header_values import Name, SliceHeader, number, seconds, value_in

SAME_TIME_S = 1.0
"""Times of one phase may differ by this: scanners' clocks and what joins their files round them."""


@dataclass(frozen=True)
class Element:
    """Where a file holds an attribute."""

    name: Name
    group: Name | None = None
    """The functional group of a frame that holds it; None: the file's own header."""
    date: Name | None = None
    """The element beside it with the date of a time of day (VR DA); None: a date and time in one (VR DT)."""


@dataclass(frozen=True, eq=False)
class PhaseAttribute:
    """An attribute whose values differ from phase to phase."""

    name: str
    """What messages call it, such as its DICOM keyword; the key of its value in `Slice.phase_values`."""
    frame_name: str
    """What messages call it in multi-frame files."""
    single_frame: tuple[Element, ...]
    """Where it is in a single-frame file: the first element that is there counts."""
    multi_frame: tuple[Element, ...]
    """Where it is in a multi-frame file."""
    unit: Literal["number", "s", "ms", "time of day"]
    """Of the file's value. Values of `Slice.phase_values` are plain numbers, or times in s: a time of day counts from
    the calendar's first day, or without a date from midnight."""
    tolerance: float
    """Values that differ by no more may belong to one phase, and contradict no order; in the unit of `phase_values`."""
    numbers_phases: bool = False
    """Whether it is meant to number phases. Then it is believed where others leave repeats; a gap in it is a missing
    phase, and a slice without it is no slice of a phase that is known."""
    binds: bool = False
    """Whether an order that it contradicts is refused, not only warned of: it says when a slice was acquired, where
    others may follow the reconstruction."""
    over_series: Literal["goes on", "may start anew", "starts anew"] = "goes on"
    """From one series of an acquisition to the next. What may start anew orders series where it rises, and says nothing
    where it falls; what starts anew orders them only where nothing else does."""

    @property
    def header_names(self) -> list[Name]:
        """Names of its elements that stand in a file's own header."""
        own = [element for element in (*self.single_frame, *self.multi_frame) if element.group is None]
        return [name for element in own for name in (element.name, element.date) if name is not None]


_CONTENT = "FrameContentSequence"

TEMPORAL_POSITION = PhaseAttribute(
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    single_frame=(Element("TemporalPositionIdentifier"),),
    multi_frame=(Element("TemporalPositionIndex", _CONTENT), Element("TemporalPositionIdentifier", _CONTENT)),
    unit="number",
    tolerance=0.0,
    numbers_phases=True,
    over_series="may start anew",
)
TRIGGER_TIME = PhaseAttribute(
    "TriggerTime",
    "TriggerTime",
    single_frame=(Element("TriggerTime"),),
    multi_frame=(Element("TriggerTime"),),
    unit="ms",
    tolerance=SAME_TIME_S,
    binds=True,
    over_series="starts anew",
)
ACQUISITION_TIME = PhaseAttribute(
    "AcquisitionTime",
    "FrameAcquisitionDateTime",
    single_frame=(Element("AcquisitionDateTime"), Element("AcquisitionTime", date="AcquisitionDate")),
    multi_frame=(
        Element("FrameAcquisitionDateTime", _CONTENT),
        Element("AcquisitionDateTime"),
        Element("AcquisitionTime", date="AcquisitionDate"),
    ),
    unit="time of day",
    tolerance=SAME_TIME_S,
    binds=True,
)
CONTENT_TIME = PhaseAttribute(
    "ContentTime",
    "ContentTime",
    single_frame=(Element("ContentTime", date="ContentDate"),),
    multi_frame=(Element("ContentTime", date="ContentDate"),),
    unit="time of day",
    tolerance=SAME_TIME_S,
)
ACQUISITION_NUMBER = PhaseAttribute(
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
    single_frame=(Element("AcquisitionNumber"),),
    multi_frame=(Element("FrameAcquisitionNumber", _CONTENT), Element("AcquisitionNumber", _CONTENT)),
    unit="number",
    tolerance=0.0,
    over_series="may start anew",
)

TABLE: tuple[PhaseAttribute, ...] = (
    TEMPORAL_POSITION,
    TRIGGER_TIME,
    ACQUISITION_TIME,
    CONTENT_TIME,
    ACQUISITION_NUMBER,
)
"""In the order of trust. Read it as `phase_attributes.TABLE`, so that all of the house sees the same rows."""


def clocks() -> list[PhaseAttribute]:
    """Return the times of day, which compare all volumes of a study, by trust."""
    return [attribute for attribute in TABLE if attribute.unit == "time of day"]


def phase_values(header: SliceHeader) -> dict[str, float]:
    """Return what a slice says of each attribute, by the attribute's name; without those that say nothing valid."""
    values = {}
    for attribute in TABLE:
        for element in attribute.single_frame if header.frame_number is None else attribute.multi_frame:
            elements = header.file if element.group is None else header.group(element.group)
            content = value_in(elements, element.name)
            if content is None or content == "":
                continue
            value = _in_own_unit(attribute, element, content, elements)
            if value is not None:
                values[attribute.name] = value
            break
    return values


def _in_own_unit(attribute: PhaseAttribute, element: Element, content: Any, beside: Dataset) -> float | None:
    if attribute.unit != "time of day":
        value = number(content)
        return value / 1000 if value is not None and attribute.unit == "ms" else value
    if element.date is None:
        return seconds(str(content)[:8], str(content)[8:])
    return seconds(str(value_in(beside, element.date) or ""), str(content))
