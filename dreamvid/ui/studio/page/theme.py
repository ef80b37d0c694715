"""Give Gradio's components the studio's colors: dark in any case, with fonts that this machine has."""

from typing import Any

import gradio as gr

_GROUND, _PANEL, _RAISED, _LINE = "#0c0e12", "#14171d", "#1c2028", "#272d38"
_TEXT, _MUTED, _ACCENT, _DARK = "#e8eaee", "#949cab", "#b79cff", "#16121f"

_COLORS = {
    "body_background_fill": _GROUND,
    "body_text_color": _TEXT,
    "body_text_color_subdued": _MUTED,
    "background_fill_primary": _GROUND,
    "background_fill_secondary": _PANEL,
    "border_color_primary": _LINE,
    "border_color_accent": _ACCENT,
    "color_accent_soft": "#2a2540",
    "block_background_fill": _PANEL,
    "block_border_color": "transparent",
    "block_label_background_fill": _PANEL,
    "block_label_text_color": _MUTED,
    "block_title_text_color": _TEXT,
    "block_info_text_color": _MUTED,
    "panel_background_fill": _PANEL,
    "panel_border_color": "transparent",
    "input_background_fill": _RAISED,
    "input_background_fill_focus": _RAISED,
    "input_border_color": _LINE,
    "input_border_color_focus": _ACCENT,
    "input_placeholder_color": "#697182",
    "checkbox_background_color": _RAISED,
    "checkbox_background_color_selected": _ACCENT,
    "checkbox_border_color": "#3a4352",
    "checkbox_border_color_selected": _ACCENT,
    "checkbox_label_background_fill": _RAISED,
    "checkbox_label_text_color": _TEXT,
    "slider_color": _ACCENT,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": "#c7b2ff",
    "button_primary_text_color": _DARK,
    "button_secondary_background_fill": _RAISED,
    "button_secondary_background_fill_hover": "#283040",
    "button_secondary_text_color": _TEXT,
    "link_text_color": _ACCENT,
}


def studio_theme() -> Any:
    """Make the theme."""
    fonts = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
    theme = gr.themes.Base(
        primary_hue="violet",
        neutral_hue="slate",
        radius_size="md",
        text_size="md",
        spacing_size="sm",
        font=fonts,
        font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
    )
    both = {f"{name}{ending}": color for name, color in _COLORS.items() for ending in ("", "_dark")}
    known = {name: color for name, color in both.items() if hasattr(theme, name)}
    return theme.set(**known, block_border_width="0px", block_radius="10px", block_shadow="none")
