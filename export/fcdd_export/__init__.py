"""Trained FCDD snapshot -> verified models in a Triton model repository."""
