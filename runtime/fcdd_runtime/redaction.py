"""Names and free text in messages: whole in reports, left out on the terminal, whose lines end up in logs.

Whatever people or other programs may have written (file names, descriptions) enters a message through `quoted` and
nowhere else, so that every pair of double quotes in a message holds such text and nothing else does.
"""

import re
from collections.abc import Mapping

from fcdd_runtime.errors import one_line

_OWNED = r"(?P<owner>series (?:-?\d+|without number)|file|folder|zip|input) "
_QUOTED = re.compile(rf'(?:{_OWNED})?"(?P<text>[^"]*)"')
_UID = re.compile(r"\d+(\.\d+){2,}")
_DATE = re.compile(r"(?<!\d)(19|20)\d\d([-./]?)\d\d\2\d\d(?!\d)")
"""A series may have a date for its number."""


def quoted(text: object) -> str:
    """Put text of unknown content into double quotes, on one line and without double quotes of its own."""
    return '"{}"'.format(one_line(text).replace('"', "'"))


def for_terminal(sentence: str, file_numbers: Mapping[str, int]) -> str:
    """Return a sentence without its quoted parts: `series 5`, `file 3`, or `(not shown)` where nothing stands for them.

    Parameters
    ----------
    file_numbers : file name as `quoted` writes it -> number
    """

    def shown(found: re.Match[str]) -> str:
        owner = found["owner"]
        number = file_numbers.get(f'"{found["text"]}"') if owner == "file" else None
        return (owner or "(not shown)") if number is None else f"file {number}"

    return _DATE.sub("(date)", _UID.sub("(UID)", _QUOTED.sub(shown, sentence)))
