"""The process in which the studio dreams previews, and how the page talks to it."""
