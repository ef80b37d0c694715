"""The built-in kinds of live sinks: one module each."""
