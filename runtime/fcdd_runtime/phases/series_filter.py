"""Which slices cannot belong to a dynamic T1 acquisition, by what scanners and people write about them.

DERIVED alone says nothing: whole public collections are derived. ORIGINAL alone says nothing either: scanners call
their own subtractions so. Hence single words of ImageType and SeriesDescription count.
"""

import re
from functools import lru_cache

_COMPUTED = (
    r"SUB(S|T|TR|TRACT|TRACTED|TRACTION|TRACTIONS)?\d*|M?MIPS?\d*|MINIP|MNIP|MPR\d*|MPVR|PROJECTION|PJN|COLLAPSE"
)
_PLANNING = r"LOC|LOCALI[SZ]ERS?|SCOUT|SURVEY|3PL|SCREENSAVE|CAPTURE|REPORT"
# SCREEN is a saved screen in ImageType, but screening in a description.
_NO_IMAGE_TYPE_OF_A_PHASE = re.compile(
    rf"({_COMPUTED}|{_PLANNING}|SCREEN|MAX|MIN|REFORMATTED|REFORMAT|MOSAIC|ADC|TRACEW)"
)
_MAPS = r"PE\d*|SER|PEI|TTP|WASHIN|WASHOUT|KTRANS|KEP|MAP|MAPS|REFORMAT|REFORMATTED|COLOU?R"
_OTHER_CONTRAST = r"T2W?|STIR|TIRM|FLAIR|DWI|ADC|DIFF|DIFFUSION|TRACEW|EPI|CALIBRATION|SPECTROSCOPY"
_NO_DESCRIPTION_OF_A_PHASE = re.compile(rf"({_COMPUTED}|{_PLANNING}|{_MAPS}|{_OTHER_CONTRAST})")
_BEFORE_CONTRAST = re.compile(r"PRE|PRECON|PRECONTRAST|NATIVE?|WITHOUT|WO|PLAIN|UNENHANCED|NONCONTRAST")
_AFTER_CONTRAST = re.compile(r"(POST|POSTCON|POSTCONTRAST|DELAYED)\d*")
_CONTRAST_AGENT = re.compile(r"CONTRAST|GD|GAD|GADO|GADOLINIUM|GADAVIST|GADOVIST|DOTAREM|CE|KM")


def ruled_out(description: str) -> bool:
    """Whether a series cannot be one of a dynamic T1 acquisition, by its SeriesDescription."""
    return _has_word(description, _NO_DESCRIPTION_OF_A_PHASE)


@lru_cache
def ruled_out_by_type(image_type: tuple[str, ...]) -> bool:
    """Whether a slice cannot be one of a dynamic T1 acquisition, by its ImageType."""
    return any(_has_word(value, _NO_IMAGE_TYPE_OF_A_PHASE) for value in image_type)


def says_after_contrast(description: str) -> str:
    """Return the word by which a description says that all of its series was acquired after contrast, or nothing."""
    return "" if _has_word(description, _BEFORE_CONTRAST) else _first_word(description, _AFTER_CONTRAST)


def mentions_contrast(description: str) -> str:
    """Return the word by which a description names a contrast agent without saying when, or nothing."""
    if _has_word(description, _BEFORE_CONTRAST):
        return ""
    return "+C" if "+C" in description.upper() else _first_word(description, _CONTRAST_AGENT)


def _has_word(text: str, pattern: re.Pattern[str]) -> bool:
    return bool(_first_word(text, pattern))


def _first_word(text: str, pattern: re.Pattern[str]) -> str:
    return next((word for word in re.split(r"[^A-Z0-9]+", text.upper()) if pattern.fullmatch(word)), "")
