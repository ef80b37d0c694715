"""What moves, what is newly seen and where the camera goes: two pictures in, flow and validity out."""
