"""A model folder says twice what it holds: in contract.json and, for Triton, in config.pbtxt. Both have to agree."""

from base64 import b64encode
from pathlib import Path

from google.protobuf import text_encoding

from fcdd_runtime.contract import CONTRACT_FILE, CONTRACT_PARAMETER, GOLDEN_FILE, ModelContract
from fcdd_runtime.errors import ContractError
from fcdd_runtime.outside_text import read_outside_text

CONFIG_FILE = "config.pbtxt"
MAX_CONFIG_BYTES = 100 * 2**20
"""Golden vectors of the largest size in base64, and the rest."""


def check_config(folder: Path, contract: ModelContract) -> None:
    """Compare contract and golden vectors of a model folder with the copies in its config.pbtxt, where it has one.

    An export writes the same text into both. Only where that is not so the configuration is parsed, for which
    tritonclient is imported, in a tenth of a second.

    Raises
    ------
    ContractError
        If the copy cannot be read, or is another contract.
    """
    try:
        text = read_outside_text(folder / CONFIG_FILE, MAX_CONFIG_BYTES)
        contract_text, golden = ((folder / name).read_bytes() for name in (CONTRACT_FILE, GOLDEN_FILE))
    except FileNotFoundError:
        if (folder / CONFIG_FILE).exists():
            raise ContractError(f"{folder} lacks {GOLDEN_FILE}; export the model again") from None
        return  # a model that was never meant for a server
    except (OSError, ValueError) as error:
        raise ContractError(f"the files of {folder} cannot be read; export the model again") from error
    if b64encode(golden).decode() not in text:
        raise ContractError(
            f"{GOLDEN_FILE} and {CONFIG_FILE} of {folder} hold different golden vectors; export the model again"
        )
    if text_encoding.CEscape(contract_text, as_utf8=False) in text:
        return
    from google.protobuf import text_format  # noqa: PLC0415
    from tritonclient.grpc import model_config_pb2  # noqa: PLC0415

    try:
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ContractError(f"{folder / CONFIG_FILE} is damaged; export the model again") from error
    if ModelContract.from_json(config.parameters[CONTRACT_PARAMETER].string_value) != contract:
        raise ContractError(
            f"{CONTRACT_FILE} and {CONFIG_FILE} of {folder} describe different models; export the model again"
        )
