"""The score of a dream against its source."""
