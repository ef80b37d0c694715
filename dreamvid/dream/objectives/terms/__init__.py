"""The terms that an objective's text names, one file each; a layer is what remains (see layers.py)."""
