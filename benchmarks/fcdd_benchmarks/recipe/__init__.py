"""Which recipe makes the images that a site trained on, out of its own studies."""
