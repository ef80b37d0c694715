"""Take a picture of the live page: python docs/draw_live.py [SOURCE] (needs Playwright and Chromium)."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent / "images" / "live.jpg"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
THUMBNAILS = "document.querySelectorAll('.preset img:not([hidden])').length"
ASKED = "document.querySelectorAll('.preset[data-asked]').length"
LONGEST_SECONDS = 240


def main() -> None:
    """Start a session, wait for the thumbnails, and store a screenshot."""
    source = sys.argv[1] if len(sys.argv) > 1 else "demo"
    command = [sys.executable, "-m", "dreamvid", "live", source, "--port", "0", "--no-osc", "--midi", "none"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as session:
        try:
            assert session.stderr is not None
            take(next(found[1] for line in session.stderr if (found := re.match(r"Page: (\S+)", line))))
        finally:
            session.terminate()


def take(url: str) -> None:
    """Store a screenshot of the page at an address."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        path = next(found for name in BROWSERS if (found := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(url)
        page.wait_for_selector("body.ready")
        began = time.monotonic()
        time.sleep(1)
        while page.evaluate(THUMBNAILS) < page.evaluate(ASKED):
            if time.monotonic() - began > LONGEST_SECONDS:
                break
            time.sleep(1)
        time.sleep(15)  # when they are finished, the dream finds its quality again
        page.screenshot(path=Path(folder) / "live.png")
        Image.open(Path(folder) / "live.png").convert("RGB").save(PICTURE, quality=80)
        browser.close()


if __name__ == "__main__":
    main()
