"""Lays out many images as one HTML page that can be zoomed, moved and searched; it needs no other file."""

import base64
import html
from collections.abc import Sequence

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt

_QUALITY = 90

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'unsafe-inline'">
<title>{title}</title>
<style>
 body {{ margin: 0; background: #181818; color: #ebebeb; font: 14px sans-serif; overflow: hidden; height: 100vh }}
 header {{ position: fixed; z-index: 1; inset: 0 0 auto 0; padding: 8px 12px; background: #181818e0 }}
 h1 {{ display: inline; font-size: 14px; margin-right: 16px }}
 input {{ background: #2a2a2a; color: inherit; border: 1px solid #555; padding: 4px 8px; border-radius: 4px }}
 main {{ position: absolute; top: 48px; left: 0; transform-origin: 0 0; display: grid; gap: 8px; padding: 8px;
   grid-template-columns: repeat({columns}, {side}px); cursor: grab }}
 figure {{ margin: 0 }} img {{ width: {side}px; display: block; image-rendering: auto }}
 figcaption {{ font-size: 12px; overflow-wrap: anywhere }} .off {{ opacity: 0.12 }}
</style></head><body>
<header><h1>{title}</h1><input id="find" type="search" placeholder="find, such as :139" aria-label="Find a label">
 wheel: zoom · drag: move · double click: everything</header>
<main>
{cells}
</main>
<script>
"use strict";
const main = document.querySelector("main");
let scale = 1, x = 0, y = 0;
function show() {{ main.style.transform = `translate(${{x}}px, ${{y}}px) scale(${{scale}})`; }}
function fit() {{
  scale = Math.min(innerWidth / main.offsetWidth, (innerHeight - 48) / main.offsetHeight, 1); x = y = 0; show();
}}
addEventListener("wheel", event => {{
  event.preventDefault();
  const next = Math.min(Math.max(scale * Math.exp(-event.deltaY / 400), 0.02), 16), factor = next / scale;
  x = event.clientX - (event.clientX - x) * factor;
  y = event.clientY - 48 - (event.clientY - 48 - y) * factor;
  scale = next; show();
}}, {{ passive: false }});
let held = null;
main.addEventListener("pointerdown", event => {{
  held = [event.clientX - x, event.clientY - y]; event.preventDefault();
}});
addEventListener("pointermove", event => {{
  if (held) {{ x = event.clientX - held[0]; y = event.clientY - held[1]; show(); }}
}});
addEventListener("pointerup", () => {{ held = null; }});
addEventListener("dblclick", fit);
addEventListener("resize", fit);
document.getElementById("find").addEventListener("input", event => {{
  for (const cell of main.children)
    cell.classList.toggle("off", !cell.lastElementChild.textContent.includes(event.target.value));
}});
fit();
</script></body></html>
"""


def feature_page(cells: Sequence[tuple[npt.NDArray[np.uint8], str]], title: str) -> str:
    """Lay out images, uint8 RGB (H, W, 3), with their labels; return the page."""
    side = max(image.shape[1] for image, _ in cells)
    columns = max(1, round(len(cells) ** 0.5 * 1.3))
    shown = "\n".join(_cell(image, name) for image, name in cells)
    return _PAGE.format(title=html.escape(title), side=side, columns=columns, cells=shown)


def _cell(image: npt.NDArray[np.uint8], label: str) -> str:
    data = iio.imwrite("<bytes>", image, extension=".jpg", plugin="pillow", quality=_QUALITY)
    name = html.escape(label)
    address = f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"
    return f'<figure><img loading="lazy" alt="{name}" src="{address}"><figcaption>{name}</figcaption></figure>'
