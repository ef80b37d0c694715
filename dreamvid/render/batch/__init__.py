"""Many sources with one command: which there are, where their results go, and how each of them ended."""
