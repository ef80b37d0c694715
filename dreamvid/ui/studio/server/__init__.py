"""Serve the studio: its routes, and the guard in front of them."""
