"""Volumes in patient space: grids, resampling, cells and the body in them."""
