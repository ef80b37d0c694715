"""The process that dreams thumbnails: requests on stdin, pictures on stdout, until stdin ends."""

import json
import os
import sys
from contextlib import suppress

_NICENESS = 10  # the live dream goes before, and leaves a tenth of a core where it needs all


def main() -> None:
    """Answer requests of `Thumbnails`."""
    with suppress(OSError, AttributeError):  # not on Windows
        os.nice(_NICENESS)
    os.environ["OMP_NUM_THREADS"] = "1"
    import numpy as np
    import torch

    from dreamvid.api import dream_image
    from dreamvid.errors import DreamvidError
    from dreamvid.runtime.process import tune_process
    from dreamvid.settings import Settings
    from dreamvid.ui.live.jpeg import encode_jpeg
    from dreamvid.ui.live.thumbnails import HEADER, read_exactly

    tune_process()
    torch.set_num_threads(1)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError, BrokenPipeError):
        while True:
            text_bytes, pixel_bytes = HEADER.unpack(read_exactly(source, HEADER.size))
            request = json.loads(read_exactly(source, text_bytes))
            pixels = np.frombuffer(read_exactly(source, pixel_bytes), np.uint8).reshape(request["shape"])
            try:
                picture = encode_jpeg(dream_image(pixels.copy(), Settings.model_validate(request["settings"])), 82)
            except DreamvidError:
                picture = b""
            target.write(HEADER.pack(0, len(picture)) + picture)
            target.flush()


if __name__ == "__main__":
    main()
