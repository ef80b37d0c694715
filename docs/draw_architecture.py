"""Draw docs/images/architecture.svg: the way of a frame, and the folders of the package in their order.

python docs/draw_architecture.py
"""

from pathlib import Path
from xml.sax.saxutils import escape

OUTPUT = Path(__file__).resolve().parent / "images" / "architecture.svg"
WIDTH, MARGIN = 1080, 20

# Of each step: its name, what it gives, the folders that do it, and the thread that it runs in.
STEPS = (
    ("source", ("file, images,", "lavfi, stdin"), "video", "decoding thread"),
    ("decode", ("RGB frames", "with their times"), "video, image", "decoding thread"),
    ("motion", ("flow t → t−1,", "validity"), "motion", "motion thread"),
    ("dream", ("warped residual,", "octaves, tiles, steps"), "coherence, dream", "main thread"),
    ("compose", ("frame + residual",), "coherence", "main thread"),
    ("encode", ("one file", "for each segment"), "video", "encoding thread"),
    ("join", ("sound, subtitles,", "the final name"), "render, video", "main thread"),
)
# From the top: a folder may import those to its right in the same row, and all in the rows below.
LAYERS = (
    (("cli", "commands"), ("ui", "terminal, notebook"), ("api", "frames in and out")),
    (("figures", "charts, sheets, diagrams"), ("render", "segments, jobs, resume"), ("metrics", "the score")),
    (("camera", "animations"), ("coherence", "the carried residual"), ("dream", "objectives, octaves, tiles")),
    (
        ("audio", "sound to curves"),
        ("video", "decode, encode, join"),
        ("motion", "flow and warp"),
        ("networks", "models"),
    ),
    (
        ("image", "one still image"),
        ("settings", "model, presets, schedules"),
        ("runtime", "device, files, plugins"),
        ("errors", ""),
    ),
)

STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.name { font-weight: 600; }
.small { font-size: 12px; fill: #59636e; }
rect { fill: #f6f8fa; stroke: #818b98; rx: 6px; }
.frame rect { fill: #ddf4ff; stroke: #0969da; }
path { fill: none; stroke: #59636e; stroke-width: 1.5; }
.arrow { fill: #59636e; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .small { fill: #9198a1; }
  rect { fill: #151b23; stroke: #656c76; }
  .frame rect { fill: #121d2f; stroke: #4493f8; }
  path { stroke: #9198a1; }
  .arrow { fill: #9198a1; }
}
"""


def text(x: float, y: float, content: str, css: str = "", anchor: str = "middle") -> str:
    """Write a line of text at a point."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{css}">{escape(content)}</text>'


def box(x: float, y: float, width: float, height: float) -> str:
    """Draw a box."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'


def arrow(points: list[tuple[float, float]]) -> str:
    """Draw a line with an arrowhead at its end."""
    line = " L".join(f"{x:g},{y:g}" for x, y in points)
    return f'<path d="M{line}" marker-end="url(#head)"/>'


def draw() -> str:
    """Draw both parts, as the text of an SVG file."""
    parts = [text(MARGIN, 32, "The way of a frame", "title", "start")]
    gap, top, height = 22, 62, 92
    width = (WIDTH - 2 * MARGIN - gap * (len(STEPS) - 1)) / len(STEPS)
    middles = []
    for index, (name, gives, folders, thread) in enumerate(STEPS):
        x = MARGIN + index * (width + gap)
        middles.append(x + width / 2)
        parts.append(f'<g class="frame">{box(x, top, width, height)}</g>')
        parts.append(text(middles[-1], top + 21, name, "name"))
        parts += [text(middles[-1], top + 41 + 16 * row, line, "small") for row, line in enumerate(gives)]
        parts.append(text(middles[-1], top + height - 10, folders, "small"))
        parts.append(text(middles[-1], top - 8, thread, "small"))
        if index:
            parts.append(arrow([(x - gap + 1, top + height / 2), (x - 3, top + height / 2)]))
    dream, compose, encode = middles[3], middles[4], middles[5]
    low, left = top + height + 20, encode - width / 2
    parts.append(arrow([(compose, top + height + 2), (compose, low), (dream, low), (dream, top + height + 3)]))
    parts.append(text((dream + compose) / 2, low + 16, "the residual, carried to the next frame", "small"))
    parts.append(arrow([(compose + 14, top + height + 2), (compose + 14, low), (left, low)]))
    parts.append(text(left + 8, low + 4, "stored when a segment ends, for resuming", "small", "start"))

    top = low + 62
    parts.append(text(MARGIN, top, "The folders", "title", "start"))
    note = "A folder imports only folders to its right in its row, and those in the rows below."
    parts.append(text(MARGIN + 116, top, note, "small", "start"))
    height, gap = 48, 10
    for row, folders in enumerate(LAYERS):
        y = top + 16 + row * (height + gap)
        width = (WIDTH - 2 * MARGIN - gap * (len(folders) - 1)) / len(folders)
        for column, (name, purpose) in enumerate(folders):
            x = MARGIN + column * (width + gap)
            parts.append(box(x, y, width, height))
            parts.append(text(x + width / 2, y + (20 if purpose else 29), name, "name"))
            parts.append(text(x + width / 2, y + 38, purpose, "small"))
    bottom = top + 16 + len(LAYERS) * (height + gap) + 10
    tip = '<path class="arrow" d="M0,0 L9,4 L0,8 z"/>'
    head = f'<marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">{tip}</marker>'
    body = "\n".join([f"<style>{STYLE}</style>", f"<defs>{head}</defs>", *parts])
    form = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom:g}" width="{WIDTH}" height="{bottom:g}"'
    title = "<title>The way of a frame through dreamvid, and the folders of the package</title>"
    return f'<svg {form} role="img">\n{title}\n{body}\n</svg>\n'


if __name__ == "__main__":
    OUTPUT.write_text(draw(), encoding="utf-8")
