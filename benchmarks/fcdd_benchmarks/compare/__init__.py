"""One network through PyTorch, ONNX Runtime, OpenVINO and ours."""
