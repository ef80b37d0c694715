"""Kinds of sources, one file each; `PLUGIN` is what the registry takes of it."""
