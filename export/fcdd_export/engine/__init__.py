"""ONNX -> engine of TensorRT or TensorRT-RTX. Needs neither torch nor onnx."""
