"""The built-in kinds of live sources: one module each."""
