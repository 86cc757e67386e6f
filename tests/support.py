"""What several test modules share that is no fixture."""

import dataclasses
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fcdd_runtime.contract import CONTRACT_FILE, read_contract
from fcdd_runtime.findings import Finding
from fcdd_runtime.images.mip_files import read_image

REFERENCE_VARIABLE = "FCDD_REFERENCE_DATA"

WriteSnapshot = Callable[..., Path]
ExportSnapshot = Callable[..., Path]

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class PublishedCase:
    """What the published code computes for one network: arrays as in the reference data's README."""

    snapshot: Path
    images: list[npt.NDArray[np.uint8]]
    normal_images: Path
    references: list[npt.NDArray[np.uint8]] | None
    """What each image is compared with; None for one-input networks."""
    expected: dict[str, npt.NDArray[Any]]


def published_case(root: Path, snapshot: Path, name: str) -> PublishedCase:
    with np.load(root / "expected" / f"{name}.npz") as arrays:
        expected = dict(arrays)
    images, references = (
        [read_image(root / str(path)) for path in expected[key]] if key in expected else None
        for key in ("names", "reference_names")
    )
    assert images is not None
    return PublishedCase(snapshot, images, root / "custom" / "train" / "breast_img" / "normal", references, expected)


def free_ports(count: int) -> list[int]:
    """Ask the system for loopback ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def rewrite_contract(folder: Path, **changes: Any) -> None:
    """Give a model folder another contract, as an export would have written it for folders without a server."""
    contract = dataclasses.replace(read_contract(folder), **changes)
    (folder / CONTRACT_FILE).write_text(contract.to_json())
    (folder / "config.pbtxt").unlink(missing_ok=True)


def sentences(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(finding.sentence for finding in findings)


def assert_review(findings: Iterable[Finding], code: str, words: str = "") -> None:
    """Fail unless a study is put to review for this reason, in a sentence in which the pattern is found."""
    found = [finding for finding in findings if finding.code == code and re.search(words, finding.sentence)]
    assert found and found[0].to_review, tuple(findings)


def reviews(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The codes for which a study is put to review."""
    return tuple(dict.fromkeys(finding.code for finding in findings if finding.to_review))
