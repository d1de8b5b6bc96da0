"""What may be printed: texts of strangers without what could steer a terminal; and to what."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def printable(text: str) -> str:
    """The text without escape sequences and other controls, such as those in a file name or a server's message."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def open_closed_streams() -> None:
    """Stand in for standard streams that this process was started without (`>&-`), where Python has None and the next
    file that is opened gets their number, with all that is printed."""
    # They stay open for as long as the process is there.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
