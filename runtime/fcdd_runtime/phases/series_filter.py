"""Which slices cannot belong to a dynamic T1 acquisition, by what scanners and people write about them.

DERIVED alone says nothing: whole public collections are derived. ORIGINAL alone says nothing either: scanners call
their own subtractions and maps so. Hence single words count: of the whole ImageType or FrameType first, of
SeriesDescription second. They do not mean the same in both: WO is wash-out as a type and "without" in a description,
WI is wash-in as a type and "weighted image" in a description.
"""

import re
from functools import lru_cache

_COMPUTED = r"SUB(S|T|TR|TRACT|TRACTED|TRACTION|TRACTIONS)?\d*|M?MIPS?\d*|MIPT|MINIP|MNIP|PROJECTION|PJN|COLLAPSE"
_REFORMATTED = r"MPR\d*|MPVR|REFORMAT|REFORMATTED"
_PLANNING = r"LOC|LOCALI[SZ]ERS?|SCOUT|SURVEY|3PL|SCREENSAVE|CAPTURE|REPORT"
_MAPS = (
    r"PE\d*|PEI|SER|TTP|TMAX|I?AUC\d*|REL(CBV|CBF|MTT|CCBV)|R?(CBV|CBF|MTT)|KTRANS|KEP|VE|VP|ADC|EADC|TRACEW?|MEAN|"
    r"STDDEV|MAPS?|T[12]MAP|WASHIN|WASHOUT|KINETICS?|BPE|COLOU?R|MOSAIC"
)
_TYPES = (
    # MAXIMUM and its like are the derived pixel contrasts of Enhanced MR (PS3.3, C.8.16.2.1.4).
    ("computed", re.compile(rf"{_COMPUTED}|MAX|MIN|MAXIMUM|MINIMUM|ADDITION|DIVISION|MULTIPLICATION")),
    ("a map", re.compile(rf"{_MAPS}|WI|WO|FIT|STD|DEVIATION|QUANTITY")),
    ("reformatted", re.compile(_REFORMATTED)),
    # SCREEN is a saved screen in ImageType, but screening in a description.
    ("a planning or screen image", re.compile(rf"{_PLANNING}|SCREEN")),
)
_NO_MAGNITUDE = ("PHASE", "REAL", "IMAGINARY")
"""Whole values, because IN_PHASE and OPP_PHASE are magnitude images of a Dixon sequence."""
_NO_MAGNITUDE_CODES = ("P", "R", "I")
"""The same, as third or fourth value of ImageType; elsewhere a letter may mean anything."""
_DESCRIPTIONS = (
    ("computed", re.compile(_COMPUTED)),
    ("a map", re.compile(_MAPS)),
    ("reformatted", re.compile(_REFORMATTED)),
    ("a planning or screen image", re.compile(_PLANNING)),
    ("no T1", re.compile(r"T2W?|STIR|TIRM|FLAIR|DWI|DIFF|DIFFUSION|EPI|CALIBRATION|SPECTROSCOPY")),
)
_WASH = re.compile(r"\bWASH[ _-]+(IN|OUT)")
_BEFORE_CONTRAST = re.compile(r"PRE|PRECON|PRECONTRAST|NATIVE?|WITHOUT|WO|PLAIN|UNENHANCED|NONCONTRAST")
_AFTER_CONTRAST = re.compile(r"(POST|POSTCON|POSTCONTRAST|DELAYED)\d*")
_CONTRAST_AGENT = re.compile(r"CONTRAST|GD|GAD|GADO|GADOLINIUM|GADAVIST|GADOVIST|DOTAREM|CE|KM")


def ruled_out_by_description(description: str) -> str:
    """Say why a series cannot be one of a dynamic T1 acquisition, such as `a map (PEI)`; empty if it can."""
    for reason, pattern in _DESCRIPTIONS:
        if word := _first_word(description, pattern):
            return f"{reason} ({word})"
    return "a map (WASH)" if _WASH.search(description.upper()) else ""


@lru_cache
def ruled_out_by_type(image_type: tuple[str, ...]) -> str:
    """Say why a slice cannot be one of a dynamic T1 acquisition by its ImageType; empty if it can.

    Parameters
    ----------
    image_type : ImageType or FrameType, upper case, and ComplexImageComponent where that names a part
    """
    for reason, pattern in _TYPES:
        for value in image_type:
            if word := _first_word(value, pattern):
                return f"{reason} ({word})"
    parts = [value for value in image_type if value in _NO_MAGNITUDE]
    parts += [value for value in image_type[2:4] if value in _NO_MAGNITUDE_CODES]
    return f"no magnitude image ({parts[0]})" if parts else ""


def says_after_contrast(description: str) -> str:
    """Return the word by which a description says that all of its series was acquired after contrast, or nothing."""
    return "" if _first_word(description, _BEFORE_CONTRAST) else _first_word(description, _AFTER_CONTRAST)


def mentions_contrast(description: str) -> str:
    """Return the word by which a description names a contrast agent without saying when, or nothing."""
    if _first_word(description, _BEFORE_CONTRAST):
        return ""
    return "+C" if "+C" in description.upper() else _first_word(description, _CONTRAST_AGENT)


def _first_word(text: str, pattern: re.Pattern[str]) -> str:
    return next((word for word in re.split(r"[^A-Z0-9]+", text.upper()) if pattern.fullmatch(word)), "")
