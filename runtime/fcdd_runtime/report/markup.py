"""Templates of `templates/` filled with text that is escaped unless it says that it is markup."""

import base64
import hashlib
import html
import io
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template
from typing import Literal

from PIL import Image

PNG_LEVEL = 3
"""zlib's level for pictures of results: less than half of the time of the usual 6 for a tenth more bytes."""


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""

    __slots__ = ()


def filled(name: str, values: Mapping[str, str]) -> Html:
    """Put values into a template of `templates/`; what is not Html is escaped."""
    escaped = {key: value if isinstance(value, Html) else html.escape(value) for key, value in values.items()}
    return Html(Template(page_file(name)).substitute(escaped))


def joined(parts: Iterable[str]) -> Html:
    """Return parts one after the other."""
    return Html("".join(parts))


def data_uri(image: Image.Image, kind: Literal["png", "jpeg"] = "png") -> str:
    """Return an image as the text of a `src` attribute."""
    buffer = io.BytesIO()
    image.save(buffer, kind, compress_level=PNG_LEVEL)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def script_hash(script: str) -> str:
    """Return what a content security policy names a script by: the base64 of its SHA-256."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def page_file(name: str) -> str:
    """Return a file of `templates/`."""
    return (files("fcdd_runtime") / "report" / "templates" / name).read_text(encoding="utf-8")
