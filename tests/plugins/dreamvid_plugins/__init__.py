"""Plugins as another distribution would ship them: one of each kind, one file each."""
