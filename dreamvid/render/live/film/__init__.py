"""Recordings of a live session."""
