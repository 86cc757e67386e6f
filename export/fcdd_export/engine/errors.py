"""What TensorRT says when it refuses, as one sentence with the node's name."""

import re
from typing import Any

from fcdd_runtime.backends.tensorrt.library import ERROR_LEVELS, PACKAGES, Flavour, Message
from fcdd_runtime.errors import EngineBuildError, one_line

OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|insufficient memory|std::bad_alloc|memory allocation failed", re.IGNORECASE
)
SUBSTITUTION = re.compile(r"UINT8 zero.?point|Defaulting to", re.IGNORECASE)
"""Warnings of a parser that takes another type than the graph states: the engine would answer other numbers."""
PARSED_NODE = re.compile(r"Parsing node: (?P<name>.+) \[(?P<operator>\w+)\]")
ERROR_CODE = re.compile(r".*Error Code \d+: [^(]*\((?P<reason>.*)\)\s*$", re.DOTALL)
SOURCE_PLACE = re.compile(r"^\w+\.cpp:\d+: |[. ]*\bIn \w+ at [^\s)]+")
"""Where in TensorRT's own source a message comes from."""


def check_parsed(flavour: Flavour, library: Any, parser: Any, well: bool, messages: list[Message]) -> None:
    """Refuse a graph that the parser refused, or read as another one.

    Parameters
    ----------
    well : what `parse` answered
    messages : what the library logged meanwhile, with VERBOSE

    Raises
    ------
    EngineBuildError
        Naming the node.
    """
    title = f"{PACKAGES[flavour].title} {library.__version__}"
    if not well or parser.num_errors:
        raise EngineBuildError(_refusal(title, parser.get_error(0)))
    node = "of the graph"
    for message in messages:
        if found := PARSED_NODE.search(message.text):
            node = f"{found['name']} ({found['operator']})"
        elif message.level == "WARNING" and SUBSTITUTION.search(message.text):
            raise EngineBuildError(
                f"{title} would change the node {node} ({_plain(message.text)}); export the snapshot for this target"
            )


def build_error(flavour: Flavour, library: Any, messages: list[Message]) -> EngineBuildError:
    """Return what a failed build is reported as.

    Parameters
    ----------
    messages : all that the library logged for this build
    """
    title = f"{PACKAGES[flavour].title} {library.__version__}"
    errors = [text for level, text in messages if level in ERROR_LEVELS]
    if any(OUT_OF_MEMORY.search(text) for text in errors):
        return EngineBuildError(
            f"{title} has not enough memory to build the engine ({_plain(errors[-1])}); "
            "end other programs on the GPU, or export the snapshot again with a smaller --max-batch-size"
        )
    reason = _plain(errors[0]) if errors else "no reason given"
    return EngineBuildError(
        f"{title} cannot build the engine ({reason}); export the snapshot with --target python instead"
    )


def start_error(flavour: Flavour, reason: str) -> EngineBuildError:
    """Return what is reported where a flavour cannot even start."""
    return EngineBuildError(
        f"{PACKAGES[flavour].title} does not start here ({_plain(reason)}); full TensorRT builds only on a machine "
        "with an NVIDIA GPU and its driver, so build there: fcdd-export MODEL_DIR --target tensorrt"
    )


def _refusal(title: str, error: Any) -> str:
    """Put a parser's error into a sentence; some describe nothing but the condition that was false."""
    lines = [line for line in error.desc().splitlines() if not line.startswith("Invalid Node - ")]
    first = _plain(lines[0]) if lines else ""
    reason = first if " " in first else error.code().name.replace("_", " ").lower()
    if error.node() < 0 or not error.node_name():
        return f"{title} cannot read the graph ({reason}); export the model again"
    return (
        f"{title} refuses the node {error.node_name()} ({error.node_operator()}): {reason}; "
        "export the snapshot for this target, or with --target python"
    )


def _plain(text: str) -> str:
    """Leave out codes and places in TensorRT's source."""
    return one_line(SOURCE_PLACE.sub("", ERROR_CODE.sub(r"\g<reason>", text))).strip(" .")
