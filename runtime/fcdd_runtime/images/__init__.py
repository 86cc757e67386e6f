"""What goes into a network as an image, and what its map says of that image."""
