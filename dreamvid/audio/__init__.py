"""Sound: decoding it, and what it says over time."""
