"""What every result says about the program that wrote it."""

from importlib.metadata import PackageNotFoundError, version

NAME = "fcdd-edge"
INTENDED_USE = "Research use only. Not a medical device. Not for diagnosis."


def software_version() -> str:
    """Return the installed release, or `not installed` when the source tree is run as it is."""
    try:
        return version(NAME)
    except PackageNotFoundError:
        return "not installed"
