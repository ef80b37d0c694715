"""Videos: sources, probe, decode, encode, mux, shots, masks."""
