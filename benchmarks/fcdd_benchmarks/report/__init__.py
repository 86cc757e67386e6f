"""The report that every benchmark writes and reads."""
