"""A model folder says twice what it holds: in contract.json and, for Triton, in config.pbtxt. Both have to agree."""

from pathlib import Path

from google.protobuf import text_encoding

from fcdd_runtime.contract import CONTRACT_FILE, CONTRACT_PARAMETER, ModelContract
from fcdd_runtime.errors import ContractError

CONFIG_FILE = "config.pbtxt"


def check_config(folder: Path, contract: ModelContract) -> None:
    """Compare the contract of a model folder with the copy in its config.pbtxt, where it has one.

    An export writes the same text into both. Only where that is not so the configuration is parsed, for which
    tritonclient is imported, in a tenth of a second.

    Raises
    ------
    ContractError
        If the copy cannot be read, or is another contract.
    """
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        contract_text = (folder / CONTRACT_FILE).read_bytes()
    except FileNotFoundError:
        return  # a model that was never meant for a server
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{folder / CONFIG_FILE} cannot be read; export the model again") from error
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
