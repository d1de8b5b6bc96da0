"""What every output records about the code that made it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def commit() -> str | None:
    """The commit of the code that runs; None outside a checkout of its own, and where there is no git."""
    top, head = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "HEAD")
    # A copy that lies in somebody else's repository is not what that repository has committed.
    return head if head and top and Path(top).resolve() == CHECKOUT.resolve() else None


def _git(*arguments: str) -> str | None:
    # Inside a git hook, variables name the repository that the hook is of.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
