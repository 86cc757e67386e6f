"""DICOM breast MRI study -> FCDD anomaly scores and heatmaps. Research use only, not a medical device."""
