"""Masks that are computed from the frames: of the subject, of the background, of what moves."""
