"""Published networks, their snapshots, and the modules that are served."""
