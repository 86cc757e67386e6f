"""Whether an image was ever compressed with loss, by its header and its transfer syntax."""

from collections.abc import Sequence
from typing import Literal

from pydicom.uid import HTJ2K, JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

Loss = Literal["", "known", "possible"]
"""Whether pixels lost something: no sign of it, said by the header or by the transfer syntax, or not excluded."""

_ALWAYS = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit))
_BY_NAME = frozenset((JPEGLSNearLossless,))
"""Named after the loss, but its bound on the error may be 0."""
_EITHER = frozenset((JPEG2000, HTJ2K))
"""With and without loss (DICOM PS3.5, 8.2.4 and 8.2.14), so that a header's `00` is to be believed."""


def loss_in(compression: Sequence[str], has_ratio: bool, transfer_syntax: UID | None) -> Loss:
    """Say whether the pixels of a file lost something by compression.

    Parameters
    ----------
    compression : words of LossyImageCompression; `01` stays there when the pixels are decompressed again
    has_ratio : whether there is a LossyImageCompressionRatio
    transfer_syntax : the file's, None if unknown
    """
    denied = "00" in compression
    if "01" in compression or (has_ratio and not denied) or transfer_syntax in _ALWAYS:
        return "known"
    if transfer_syntax in _BY_NAME or (transfer_syntax in _EITHER and not denied):
        return "possible"
    return ""
