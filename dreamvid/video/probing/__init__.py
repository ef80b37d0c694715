"""What a look into a file finds: its streams, and the time stamps of its frames."""
