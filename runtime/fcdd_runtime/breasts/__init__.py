"""Projection, the sternum, which breasts are shown, and cutting them out."""
