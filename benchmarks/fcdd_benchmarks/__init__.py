"""Benchmarks of exported FCDD models: accuracy figures with their intervals."""
