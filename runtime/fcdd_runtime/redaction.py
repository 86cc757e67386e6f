"""Names and free text in messages: whole in reports, left out on the terminal, whose lines end up in logs.

Whatever people or other programs may have written (file names, descriptions) enters a message through `quoted` and
nowhere else, so that every pair of double quotes in a message holds such text and nothing else does.
"""

import re
from collections.abc import Mapping

from fcdd_runtime.errors import FcddError, one_line

_OWNED = r"(?P<owner>series (?:-?\d+|without number)|file|image|folder|zip|input) "
_QUOTED = re.compile(rf'(?:{_OWNED})?"(?P<text>[^"]*)"')
_UID = re.compile(r"(?P<address>grpc://[\d.]+|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?=:\d))|\d+(?:\.\d+){2,}")
"""A server's address is no UID: it has a scheme before it, or a port behind it."""
_DATE = re.compile(r"(?<!\d)(19|20)\d\d([-./]?)\d\d\2\d\d(?!\d)")
"""A series may have a date for its number."""


class Redacted(str):
    """Text that names nobody and may stand in a log: what is returned here, and a program's own words."""

    __slots__ = ()


NOT_SHOWN = Redacted("(not shown)")


def quoted(text: object) -> str:
    """Put text of unknown content into double quotes, on one line and without double quotes of its own."""
    return '"{}"'.format(one_line(text).replace('"', "'"))


def for_terminal(sentence: str, file_numbers: Mapping[str, int]) -> Redacted:
    """Return a sentence without its quoted parts: `series 5`, `file 3`, or `(not shown)` where nothing stands for them.

    Parameters
    ----------
    file_numbers : file name as `quoted` writes it -> number
    """

    def shown(found: re.Match[str]) -> str:
        owner = found["owner"]
        number = file_numbers.get(f'"{found["text"]}"') if owner in ("file", "image") else None
        return (owner or NOT_SHOWN) if number is None else f"{owner} {number}"

    without_uids = _UID.sub(lambda found: found["address"] or "(UID)", _QUOTED.sub(shown, sentence))
    return Redacted(_DATE.sub("(date)", without_uids))


def for_log(error: FcddError | OSError) -> Redacted:
    """Return an error's sentence for a log; only its kind where the system wrote it, which names files as they are."""
    if isinstance(error, FcddError):
        return for_terminal(str(error), {})
    return Redacted(type(error).__name__)
