"""Every artefact against FP32: drift, its limits, and what may be published."""
