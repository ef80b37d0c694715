"""Reads the pieces of an objective's text; a piece that is not understood is shown in its place."""

import re
from typing import NoReturn

from dreamvid.errors import ObjectiveError
from dreamvid.settings.reader import Reader

_EXAMPLE = 'For example: blocks.4.1, or 0.5*mixed4c:139 - 0.2*mixed5a, or class:"golden retriever"'
_LAYER = re.compile(r"[A-Za-z0-9_./]+")
_QUOTED = re.compile(r'"([^"]*)"')


class ObjectiveReader(Reader):
    """A position in an objective's text; the parser and the named terms read their parts from it."""

    def fail(self, expected: str) -> NoReturn:
        """Raise the ObjectiveError that shows where the text is and what was expected there."""
        # One line for the text, so that the caret stands under its position.
        line = re.sub(r"\s", " ", self.text)
        caret = " " * self.position + "^"
        raise ObjectiveError(f"The objective is not understood:\n  {line}\n  {caret}\nExpected {expected}. {_EXAMPLE}")

    def expect(self, characters: str, where: str) -> None:
        """Move past `characters`; fail if something else comes. where: continues the message, such as "after X"."""
        if not self.take(characters):
            self.fail(f"'{characters}' {where}")

    def quoted(self, expected: str) -> str:
        """Read a text in double quotes, without the white space around it; fail if there is none."""
        match = self.match(_QUOTED)
        if not match or not match[1].strip():
            self.fail(expected)
        self.skip(match.end())
        return match[1].strip()

    def layer(self, expected: str = "a layer's name") -> str:
        """Read a layer's name; fail if there is none."""
        match = self.match(_LAYER)
        if not match:
            self.fail(expected)
        self.skip(match.end())
        return match[0]
