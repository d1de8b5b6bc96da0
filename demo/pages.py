"""Pages beside the app: the model card, rendered from Markdown to HTML that can run nothing."""

from __future__ import annotations

import re
from html import escape

from markdown_it import MarkdownIt

# YAML between two lines of dashes, as model hubs want it: for machines.
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def card_page(markdown: str, title: str, css: str) -> str:
    """A whole page. Raw HTML in the text is shown as text, pictures are left out, and only links that cannot
    run anything are kept (markdown-it refuses javascript:, vbscript:, file: and data: addresses)."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    body = renderer.render(_FRONT_MATTER.sub("", markdown))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>"
        f'<body><main class="lte-page">{body}</main></body></html>'
    )
