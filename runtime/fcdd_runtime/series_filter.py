"""Which slices cannot belong to a dynamic T1 acquisition, by what scanners and people write about them.

DERIVED alone says nothing: whole public collections are derived. ORIGINAL alone says nothing either: scanners call
their own subtractions so. Hence single words of ImageType and SeriesDescription count.
"""

import re

_COMPUTED = (
    r"SUB(S|T|TR|TRACT|TRACTED|TRACTION|TRACTIONS)?\d*|M?MIPS?\d*|MINIP|MNIP|MPR\d*|MPVR|PROJECTION|PJN|COLLAPSE"
)
_PLANNING = r"LOC|LOCALI[SZ]ERS?|SCOUT|SURVEY|3PL|SCREEN|SCREENSAVE|CAPTURE|REPORT"
_NO_IMAGE_TYPE_OF_A_PHASE = re.compile(rf"({_COMPUTED}|{_PLANNING}|MAX|MIN|REFORMATTED|REFORMAT|MOSAIC|ADC|TRACEW)")
_MAPS = r"PE\d*|SER|PEI|TTP|WASHIN|WASHOUT|KTRANS|KEP|MAP|MAPS|REFORMAT|REFORMATTED|COLOU?R"
_OTHER_CONTRAST = r"T2W?|STIR|TIRM|FLAIR|DWI|ADC|DIFF|DIFFUSION|TRACEW|EPI|CALIBRATION|SPECTROSCOPY"
_NO_DESCRIPTION_OF_A_PHASE = re.compile(rf"({_COMPUTED}|{_PLANNING}|{_MAPS}|{_OTHER_CONTRAST})")


def ruled_out(description: str, image_type: tuple[str, ...]) -> bool:
    """Whether a slice cannot be one of a dynamic T1 acquisition, by its SeriesDescription and ImageType."""
    return _has_word(description, _NO_DESCRIPTION_OF_A_PHASE) or any(
        _has_word(value, _NO_IMAGE_TYPE_OF_A_PHASE) for value in image_type
    )


def _has_word(text: str, pattern: re.Pattern[str]) -> bool:
    return any(pattern.fullmatch(word) for word in re.split(r"[^A-Z0-9]+", text.upper()))
