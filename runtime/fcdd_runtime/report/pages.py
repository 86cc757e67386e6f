"""Pages that need no other file: templates that escape what is put into them; style, script and images lie inside."""

import base64
import functools
import hashlib
import io
import re
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from fcdd_runtime.report.words import SIDES, position_in_words, score_in_words, state_of
from fcdd_runtime.software import INTENDED_USE, NAME, software_version

PNG_LEVEL = 3
"""zlib's level for pictures of results: less than half of the time of the usual 6 for a tenth more bytes."""


def page_environment(package: str, folder: str = "templates") -> Environment:
    """Return the Jinja templates in a folder of a package; each is compiled once, when it is first used.

    Every text is escaped unless it is `Markup`, and what a template names and nobody gave raises. Templates have
    `inline("style.css")`, a file of the folder as it is, the filter `script_hash`, `intended_use` and `software`.
    """
    loader = PackageLoader(package, folder)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )

    @functools.cache
    def inline(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])

    software = f"{NAME} {software_version()}"
    environment.globals |= {"inline": inline, "intended_use": INTENDED_USE, "software": software}
    environment.filters["script_hash"] = script_hash
    return environment


def data_uri(image: Image.Image, kind: Literal["png", "jpeg"] = "png") -> str:
    """Return an image as the text of a `src` attribute."""
    buffer = io.BytesIO()
    image.save(buffer, kind, compress_level=PNG_LEVEL)
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def script_hash(script: str) -> str:
    """Return what a content security policy names a script by: the base64 of its SHA-256."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


RESULT_PAGES = page_environment("fcdd_runtime.report")
"""The templates of results, which also have the words that results are told in."""
RESULT_PAGES.globals |= {"state_of": state_of, "sides": SIDES}
RESULT_PAGES.filters |= {"score": score_in_words, "position": position_in_words}
RESULT_PAGES.tests["sha256"] = re.compile("[0-9a-f]{64}").fullmatch
