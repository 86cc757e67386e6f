"""Files -> studies: archives, headers, slices, pixels and stacking."""
