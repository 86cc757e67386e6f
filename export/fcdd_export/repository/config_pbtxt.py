"""Contract + golden vectors -> Triton's config.pbtxt, in the three forms of a model."""

import base64

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from fcdd_runtime.backends.golden import GoldenVectors, golden_to_bytes
from fcdd_runtime.contract import CONTRACT_PARAMETER, GOLDEN_PARAMETER, ModelContract


def config_text(contract: ModelContract, golden: GoldenVectors, version: int) -> str:
    """Return the text of config.pbtxt.

    Dynamic batching without a queue delay, with a level of priority above that of all requests for the golden images of
    a health check, and a warm-up of the smallest and the largest batch, so that the first patient does not wait for
    allocations. Only `version` is served: it is the one that the contract describes.
    """
    image = [1, contract.resize.size, contract.resize.size]
    config = model_config_pb2.ModelConfig(
        name=contract.name,
        max_batch_size=contract.max_batch_size,
        dynamic_batching=model_config_pb2.ModelDynamicBatching(priority_levels=2, default_priority_level=2),
    )
    if contract.target == "tensorrt":
        config.platform = "tensorrt_plan"
    else:
        config.backend = contract.target
    config.version_policy.specific.versions.append(version)
    for name in contract.inputs:
        config.input.add(name=name, data_type=model_config_pb2.TYPE_UINT8, dims=image)
    config.output.add(name="score", data_type=model_config_pb2.TYPE_FP32, dims=[1])
    config.output.add(name="anomaly_map", data_type=model_config_pb2.TYPE_FP32, dims=[1, *contract.map_shape])
    for batch in sorted({1, contract.max_batch_size}):
        warmup = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch)
        for name in contract.inputs:
            tensor = warmup.inputs[name]
            tensor.data_type, tensor.zero_data = model_config_pb2.TYPE_UINT8, True
            tensor.dims.extend(image)
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    config.parameters[GOLDEN_PARAMETER].string_value = base64.b64encode(golden_to_bytes(golden)).decode()
    return str(text_format.MessageToString(config))
