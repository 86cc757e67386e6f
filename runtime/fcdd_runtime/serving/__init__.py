"""A Triton Inference Server that really answers."""
