"""Objectives: what gradient ascent increases, in one small text form."""
