"""Renders on the workers of a Ray cluster. Importing this imports no Ray; `dreamvid[ray]` installs it."""
