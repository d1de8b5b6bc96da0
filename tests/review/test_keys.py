"""Keys of the review tab: changed by a setting, and a collision is said at start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import main
from review.keys import DEFAULTS, EDITOR, KeysError, read_keys

ROOT = Path(__file__).parents[2]


def test_no_setting_means_the_defaults_which_do_not_collide() -> None:
    assert read_keys("") == dict(DEFAULTS)
    assert not EDITOR & set(DEFAULTS.values())


def test_actions_get_other_keys_and_may_swap() -> None:
    assert read_keys("accept=Q, skip=w")["accept"] == "q"
    swapped = read_keys("accept=s, skip=a")
    assert (swapped["accept"], swapped["skip"]) == ("s", "a")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("accept=f", "'f' would mean both"),
        ("accept=d", "the box editor uses it"),
        ("accept=7", "the box editor uses it"),
        ("agree=x", "'agree=x' is none of accept=a"),
        ("accept", "'accept' is none of"),
        ("accept=", "expected one character for accept"),
        ("accept=ab", "expected one character for accept"),
    ],
)
def test_what_cannot_be_is_said(setting: str, said: str) -> None:
    with pytest.raises(KeysError, match=re.escape(said)):
        read_keys(setting)


def test_the_app_does_not_start_with_a_collision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEYS", "accept=f"), ("DATA_DIR", str(tmp_path)), ("PORT", "0")):
        monkeypatch.setenv(f"LTE_{name}", value)
    with pytest.raises(SystemExit, match="Give one of them another key"):
        main()
    assert not list(tmp_path.iterdir())


def test_the_editor_listens_to_the_keys_that_it_reserves() -> None:
    script = (ROOT / "review" / "editor.js").read_text(encoding="utf-8")
    block = script[script.index("const plain = {") : script.index("}[e.key.length === 1")]
    named = set(re.findall(r'(?:^|[\s,{])"?([a-z0+=-])"?: \(\)', block))
    assert named | set("123456789") == EDITOR
