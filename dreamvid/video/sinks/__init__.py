"""The built-in sinks: one module each, named by the suffix of the outputs that it writes."""
