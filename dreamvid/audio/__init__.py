"""What a sound says over time: numpy in, curves out."""
