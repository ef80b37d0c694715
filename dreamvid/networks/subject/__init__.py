"""The network that finds the subject of an image, with its weights."""
