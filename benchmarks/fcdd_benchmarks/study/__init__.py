"""DICOM studies to results."""
