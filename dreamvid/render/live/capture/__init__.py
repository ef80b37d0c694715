"""What comes in: cameras, streams, files and sound, in real time."""
