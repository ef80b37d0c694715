"""A dream that does not end: sources and sinks in real time, and settings that change meanwhile."""
