"""What numbers of a header can be: each sizes or places something, and nonsense costs memory, time or the truth.

A bound lies far beyond what scanners make, so that it never refuses an examination, and far within what arithmetic and
memory bear.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """A range of plausible values."""

    what: str
    """What a file declares, with its article."""
    lowest: float
    highest: float
    unit: str
    why: str
    """What the range was taken from."""

    def problem(self, *values: float) -> str:
        """Say which value is none, as the rest of a sentence that begins with a file's name; empty if all are well."""
        for value in values:
            if not self.lowest <= value <= self.highest:
                unit = f" {self.unit}" if self.unit else ""
                return f"declares {self.what} of {value:g}{unit}, which no scanner makes"
        return ""


PIXEL_SPACING = Bound("a pixel spacing", 0.02, 20.0, "mm", "breast MR has 0.3 to 2 mm, microscopy 0.03")
FIELD_OF_VIEW = Bound("a field of view", 1.0, 5000.0, "mm", "bores are 0.7 m wide, mosaics of 64 slices 2 m")
POSITION = Bound("a position", -5000.0, 5000.0, "mm", "tables move by 2 m")
SLICE_STEP = Bound("slices at a distance", 0.02, 100.0, "mm", "from microscopy to localizers with gaps")
FRAMES = Bound("a number of frames", 1, 20_000, "", "12 phases of 400 slices are 4,800; each takes 13 kB")
RESCALE_SLOPE = Bound("a rescale slope", 1e-12, 1e12, "", "float32 holds what comes of it; maps have 1e-6 to 1e6")
RESCALE_INTERCEPT = Bound("a rescale intercept", -1e12, 1e12, "", "as the slope")
MAX_VOXELS = 2**30
"""Of one phase. 400 slices of 1024 x 1024 pixels are a third of that; so many take 10 s to decode on two cores."""
MAX_FILES = 200_000
"""Of one input. An archive is given study by study."""
