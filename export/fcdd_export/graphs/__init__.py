"""Network -> ONNX graph, in each precision."""
