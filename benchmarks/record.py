"""Keep the result of a benchmark."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def keep(folder: Path, name: str, result: dict[str, Any], sheet: npt.NDArray[np.uint8]) -> None:
    """Write NAME.json and the sheet (H, W, 3) as NAME.jpg into a folder, and print the result."""
    text = json.dumps(result, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    Image.fromarray(sheet).save(folder / f"{name}.jpg", quality=80)
    print(text)
