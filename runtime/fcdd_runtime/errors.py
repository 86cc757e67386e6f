"""The error tree. Every message is one sentence that says what to do.

FcddError
├── ContractError            (ValueError)       a model folder or server describes no model that we can run
├── StudyError               (ValueError)       a DICOM study cannot be turned into breast images
├── ImageError               (ValueError)       a ready-made MIP image cannot be used
├── BackendError             (RuntimeError)     a model could not be run
│   ├── ServerUnreachableError (ConnectionError) nothing answers at the address
│   ├── ModelChangedError                         another model answers than the one that was opened
│   ├── BadAnswerError       (ValueError)       an answer has the wrong size, type or values
│   └── EngineMismatchError  (ValueError)       a TensorRT engine was built for another machine or library
├── EngineBuildError         (RuntimeError)     TensorRT cannot build an engine of a graph
├── MissingExtraError        (ImportError)      an optional package is not installed
├── SnapshotError            (ValueError)       a training snapshot is not one that the published code writes
├── RepositoryError          (OSError)          a model repository cannot be written to
├── ResultsError             (OSError)          a folder of results cannot be written to
└── GateError                (RuntimeError)     a check refused: drift or self-test (exit code 3)
"""

from typing import ClassVar


class FcddError(Exception):
    """Root of all errors that a user can cause; the commands print its one sentence and no traceback."""

    exit_code: ClassVar[int] = 2
    """Exit code of a command that ends with this error."""


class ContractError(FcddError, ValueError):
    """A contract is missing, unreadable, of another schema version, or contradicts the model beside it."""


class StudyError(FcddError, ValueError):
    """A DICOM study cannot be turned into breast images.

    Attributes
    ----------
    code : a key of `findings.KINDS`
    """

    def __init__(self, sentence: str, code: str):
        super().__init__(sentence)
        self.code = code

    def __reduce__(self) -> tuple[type["StudyError"], tuple[str, str]]:
        """Let it be raised in another process than the one that found it."""
        return type(self), (str(self), self.code)


class ImageError(FcddError, ValueError):
    """A ready-made MIP image is unreadable or not 8-bit grey."""


class BackendError(FcddError, RuntimeError):
    """A model could not be opened or run."""


class ServerUnreachableError(BackendError, ConnectionError):
    """No inference server answers at the address, or not in time."""


class ModelChangedError(BackendError):
    """Another model answers at the address than the one that was opened: nothing it says belongs to this run."""


class BadAnswerError(BackendError, ValueError):
    """A model answered with the wrong shape or dtype, or with values that its network cannot give."""


class EngineMismatchError(BackendError, ValueError):
    """A TensorRT engine was built for another GPU or another version of the library than what is here."""


class EngineBuildError(FcddError, RuntimeError):
    """TensorRT refuses a graph, or cannot build an engine of it on this machine."""


class MissingExtraError(FcddError, ImportError):
    """Something optional, such as a backend or DICOM output, needs a package that is not installed."""


class SnapshotError(FcddError, ValueError):
    """A training snapshot is missing, damaged, or not one that the published code writes."""


class RepositoryError(FcddError, OSError):
    """A model repository cannot be written to: it is no folder, its disk is full, or the user may not."""


class ResultsError(FcddError, OSError):
    """A folder of results cannot be written to: another program is writing there, or something else lies in it."""


class GateError(FcddError, RuntimeError):
    """A verification refused the model."""

    exit_code: ClassVar[int] = 3


def one_line(message: object) -> str:
    """Fit another library's message into a sentence: white space folded, at most 300 characters."""
    return " ".join(str(message).split())[:300]
