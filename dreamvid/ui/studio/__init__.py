"""The studio: a web page where one sees the dream while one tunes it, and queues the videos (`dreamvid studio`)."""
