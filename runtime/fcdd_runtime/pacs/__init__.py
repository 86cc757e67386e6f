"""A result as DICOM objects for a PACS."""
