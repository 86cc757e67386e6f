"""TOML file -> MIP recipe."""

import dataclasses
import json
import sys
from pathlib import Path

from fcdd_runtime.contract import MipRecipe, recipe_from_plain
from fcdd_runtime.errors import ContractError, one_line
from fcdd_runtime.outside_text import bounded, read_outside_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_RECIPE_BYTES = 64 * 2**10
"""A recipe has ten entries; Python's reader takes a second for a megabyte."""


def read_recipe(path: Path) -> MipRecipe:
    """Read a recipe; entries left out keep their defaults.

    Raises
    ------
    ContractError
        If the file is no readable TOML, or an entry is unknown, mistyped or out of range.
    """
    try:
        values = bounded(tomllib.loads(read_outside_text(path, MAX_RECIPE_BYTES)))
    except (OSError, RecursionError, ValueError) as error:  # a TOMLDecodeError is a ValueError
        raise ContractError(f"{path} is no readable TOML file ({one_line(error)})") from error
    return recipe_from_plain(values)


def recipe_text(recipe: MipRecipe) -> str:
    """Return the text of a file that `read_recipe` reads, every entry in it."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in dataclasses.asdict(recipe).items())
