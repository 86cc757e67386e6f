"""JSON and its like from files and servers: bounded before anything is made of it.

Parsers take what they are given: a hundred thousand brackets overflow their stack, a number of 400 digits is no float.
"""

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 16 * 2**20
"""Of one text. Contracts have some kilobytes, reports of benchmarks some megabytes."""
MAX_DEPTH = 32
"""Of lists and objects inside each other; ours have at most six."""
MAX_DIGITS = 18
"""Of a whole number: as many as 64 bits hold."""


def read_outside_text(path: Path, most: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8, with or without its mark.

    Parameters
    ----------
    most : bytes that it may have

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is not UTF-8, or too large.
    """
    return read_outside_bytes(path, most).decode("utf-8-sig")


def read_outside_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a file as `read_outside_text` does, but as it is."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most >> 10} kB")
    return content


def json_from_outside(text: str | bytes, most: int = MAX_BYTES) -> Any:
    """Parse JSON. Numbers may be infinite, as the published training code writes one; who needs finite ones checks.

    Parameters
    ----------
    most : characters that it may have; as objects they take up to fifty times as many bytes

    Raises
    ------
    ValueError
        If it is none, or too large, too deeply nested, or a whole number is too large.
    """
    if len(text) > most:
        raise ValueError(f"it has more than {most >> 10} kB")
    try:
        value = json.loads(text, parse_int=_whole_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return bounded(value)


def bounded(value: Any, depth: int = 0) -> Any:
    """Return what another parser made of a text, if it is within the same bounds; ValueError if not."""
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        value = {key: bounded(entry, depth + 1) for key, entry in value.items()}
    elif isinstance(value, list):
        value = [bounded(entry, depth + 1) for entry in value]
    elif isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ValueError("it has a number that is too large")
    return value


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError("it has a number that is too large")
    return int(digits)
