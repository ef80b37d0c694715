"""Pixels and time: probing, decoding, encoding and joining through the bundled ffmpeg. No network in here."""
