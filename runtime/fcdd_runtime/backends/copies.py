"""A model folder says twice what it holds: in contract.json and, for Triton, in config.pbtxt. Both have to agree."""

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fcdd_runtime.contract import CONTRACT_FILE, CONTRACT_PARAMETER, ModelContract
from fcdd_runtime.errors import ContractError

CONFIG_FILE = "config.pbtxt"


def check_config(folder: Path, contract: ModelContract) -> None:
    """Compare the contract of a model folder with the copy in its config.pbtxt, where it has one.

    Raises
    ------
    ContractError
        If the copy cannot be read, or is another contract.
    """
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return  # a model that was never meant for a server
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{folder / CONFIG_FILE} cannot be read; export the model again") from error
    try:
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ContractError(f"{folder / CONFIG_FILE} is damaged; export the model again") from error
    if ModelContract.from_json(config.parameters[CONTRACT_PARAMETER].string_value) != contract:
        raise ContractError(
            f"{CONTRACT_FILE} and {CONFIG_FILE} of {folder} describe different models; export the model again"
        )
