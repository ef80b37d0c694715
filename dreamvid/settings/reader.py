"""Read text from left to right: the common part of the parsers of objectives and of schedules."""

import re

_SPACE = re.compile(r"\s*")


class Reader:
    """A position in a text, always at the next character that is not white space."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.skip(0)

    @property
    def at_end(self) -> bool:
        """Return whether all of the text has been read."""
        return self.position == len(self.text)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match a pattern at the position, without moving."""
        return pattern.match(self.text, self.position)

    def take(self, characters: str) -> bool:
        """Move past `characters` if they come next; return whether they did."""
        if not self.text.startswith(characters, self.position):
            return False
        self.skip(self.position + len(characters))
        return True

    def skip(self, position: int) -> None:
        """Move to `position` and past the white space there."""
        space = _SPACE.match(self.text, position)
        self.position = position if space is None else space.end()
