"""Latency and throughput of exported models."""
