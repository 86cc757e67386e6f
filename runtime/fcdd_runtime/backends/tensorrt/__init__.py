"""Engines of TensorRT and TensorRT-RTX, run through pycuda."""
