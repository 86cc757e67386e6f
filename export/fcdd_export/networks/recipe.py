"""TOML file -> MIP recipe."""

import sys
from pathlib import Path

from fcdd_runtime.contract import MipRecipe, recipe_from_plain
from fcdd_runtime.errors import ContractError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_recipe(path: Path) -> MipRecipe:
    """Read a recipe; entries left out keep their defaults.

    Raises
    ------
    ContractError
        If the file is no readable TOML, or an entry is unknown, mistyped or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContractError(f"{path} is no readable TOML file ({error})") from error
    return recipe_from_plain(values)
