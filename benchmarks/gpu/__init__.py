"""What a real NVIDIA GPU computes of exported models, and how fast: run by hand where there is one."""
