"""The dream core: objectives, tiles, octaves, and the session that takes new settings between frames."""
