"""Imports run one way: each package may use those before it, and heavy libraries wait inside functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the bottom up: a part may import itself and every layer below its own. Parts of one layer are strangers.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("lte_core.schema", "lte_core.settings", "lte_core.runs", "lte_core.files", "lte_core.terminal"),
    ("lte_core.boxes", "lte_core.containers"),
    ("lte_core.images",),
    ("lte_core.provenance", "lte_core.text_metrics", "lte_core.vlm"),
    ("lte_core.inference", "lte_core.intake"),
    ("lte_core.dataset",),
    ("lte_core.training", "lte_core.evaluation"),
    ("lte_core.commands",),
    ("lte_core.__main__",),
    ("demo", "review"),
    ("app",),
)
HEAVY = {"torch", "transformers", "trl", "datasets", "openai", "accelerate", "llguidance"}
# Modules that are torch through and through, and are themselves imported inside functions.
TORCH_ROOMS = {
    "lte_core.training.dense",
    "lte_core.training.packing",
    "lte_core.training.pretrain",
    "lte_core.training.trainer",
    "lte_core.vlm.vision",
    "lte_core.vlm.processor",
    "lte_core.vlm.weights",
}
GRADIO_ROOMS = ("app", "demo.tab", "review.tab", "review.editor")


def modules() -> Iterator[tuple[str, Path]]:
    for path in [ROOT / "app.py", *(p for top in ("demo", "lte_core", "review") for p in (ROOT / top).rglob("*.py"))]:
        if path.is_file():
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imports(path: Path, *, top_level_only: bool) -> set[str]:
    """Names of imported modules; those under `if TYPE_CHECKING` do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: expected absolute imports"
            found.add(node.module or "")
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


MODULES = list(modules())


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_imports_run_one_way(module: str, path: Path) -> None:
    if module in {"lte_core", "demo", "review"}:
        return  # the packages themselves: a docstring and no imports of their own
    level, home = next((n, part) for n, layer in enumerate(LAYERS) for part in layer if within(module, part))
    allowed = {home, "lte_core", *(part for layer in LAYERS[:level] for part in layer)}
    own = {name for name in imports(path, top_level_only=False) if name.split(".")[0] in {"lte_core", "demo", "review"}}
    wrong = {
        name for name in own if name not in allowed and not any(within(name, part) for part in allowed - {"lte_core"})
    }
    assert not wrong, f"{module} imports {wrong}; it may import {sorted(allowed)}"


@pytest.mark.parametrize(("module", "path"), MODULES, ids=[name for name, _ in MODULES])
def test_heavy_libraries_wait_inside_functions(module: str, path: Path) -> None:
    top = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    if module not in TORCH_ROOMS:
        assert not top & HEAVY, f"{module} imports {top & HEAVY} when it is imported"
    if not any(within(module, room) for room in GRADIO_ROOMS):
        assert "gradio" not in top
    anywhere = {name.split(".")[0] for name in imports(path, top_level_only=False)}
    if not module.startswith("review"):
        assert "sqlalchemy" not in anywhere


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, lte_core.__main__; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not set(loaded.split()) & (HEAVY | {"gradio", "pandas", "sklearn", "scipy"})
