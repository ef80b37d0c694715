"""Take the camera of a browser: the page's camera button sends its frames."""

from dreamvid.render.live.capture.source import PushedInput


class _Browser:
    form = "browser"

    def claims(self, text: str) -> bool:
        return text == "browser"

    def open(self, text: str) -> PushedInput:
        return PushedInput(text=text)

    def devices(self) -> list[tuple[str, str]]:
        return [("browser", "the camera of a browser that opens the page")]


PLUGIN = _Browser()
