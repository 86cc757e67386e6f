"""Verified model -> a version of a model folder in a Triton model repository."""
