"""Objectives: what a dream makes more of, as one small text form."""
