"""What may be printed: texts of strangers without what could steer a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without escape sequences and other controls, such as those in a file name or a server's message."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
