"""Which key does what on the Review tab. A collision is an error at start, not a surprise at work.

`LTE_KEYS="accept=q, skip=w"` gives actions other keys. The box editor's own keys are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "accept": "a",
        "fix": "f",
        "reject": "r",
        "skip": "s",
        "undo": "u",
        "previous": "k",
        "next": "j",
        "explanation": "e",
        "help": "?",
    }
)
EDITOR = frozenset({"d", "l", "b", "+", "=", "-", *"0123456789"})


class KeysError(ValueError):
    """The setting cannot be used; the message says why."""


def read_keys(setting: str) -> dict[str, str]:
    """Action -> key. Raises KeysError for unknown actions, for what is no single key, and for collisions."""
    keys = dict(DEFAULTS)
    for part in filter(None, (p.strip() for p in setting.split(","))):
        action, given, key = (piece.strip() for piece in part.partition("="))
        if action not in DEFAULTS or not given:
            raise KeysError(f"LTE_KEYS: {part!r} is none of {', '.join(f'{a}={k}' for a, k in DEFAULTS.items())}.")
        if len(key) != 1 or not key.isprintable() or key.isspace():
            raise KeysError(f"LTE_KEYS: expected one character for {action}, got {key!r}.")
        keys[action] = key.lower()
    for action, key in keys.items():
        if key in EDITOR:
            raise KeysError(f"LTE_KEYS: {key!r} cannot mean {action}: the box editor uses it.")
        twin = next((other for other, taken in keys.items() if taken == key and other != action), None)
        if twin is not None:
            raise KeysError(f"LTE_KEYS: {key!r} would mean both {action} and {twin}. Give one of them another key.")
    return keys
