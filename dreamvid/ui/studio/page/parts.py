"""Make the components of our own: HTML of Gradio that a part of the page's scripts fills."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

SCRIPTS = (
    "core.js",
    "wipe.js",
    "painter.js",
    "stage.js",
    "objective.js",
    "code.js",
    "curve.js",
    "queue.js",
    "results.js",
)


def part(name: str, events: Sequence[str] = (), value: Any = None, **more: Any) -> gr.HTML:
    """Make a part. name: that of its script's `Studio.part`. events: what it can send to Python, as `part.EVENT(…)`."""
    # Gradio knows the events of a component by their names in quotes in its script.
    known = ", ".join(f"'{event}'" for event in events)
    mount = f"Studio.mount('{name}', element, trigger, props, watch)"
    # Gradio may run this before the scripts in the page's head are there.
    script = (
        f"/* events: {known} */ const go = () => window.Studio?.has('{name}') ? {mount} : setTimeout(go, 20); go();"
    )
    return gr.HTML(
        value, html_template="<div class='dv-part'></div>", js_on_load=script, apply_default_css=False, **more
    )


def head() -> str:
    """Return what the page's head needs: the scripts, before any part is made, and the icon."""
    scripts = "".join(f'<script src="/studio/static/{name}"></script>' for name in SCRIPTS)
    return (
        '<link rel="icon" type="image/svg+xml" href="/studio/static/favicon.svg">'
        '<link rel="stylesheet" href="/studio/static/studio.css">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">' + scripts
    )
