"""The entry point of fcdd-export: says which extra is missing where torch is not installed."""

from fcdd_runtime.commands import reporting_errors
from fcdd_runtime.errors import MissingExtraError

EXTRA = {"torch", "onnx", "onnxruntime", "onnxscript"}


@reporting_errors
def main() -> None:
    """Run fcdd-export."""
    try:
        from fcdd_export.cli import main as export  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise MissingExtraError(
            f"fcdd-export needs {error.name}, which is not installed: pip install 'fcdd-edge[export]'"
        ) from error
    export()
