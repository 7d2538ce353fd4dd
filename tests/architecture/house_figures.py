"""The house in figures: how long functions are, how files hang together. `script/test` prints them.

Only the cycles are a rule; the rest is there to be looked at.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "instar"


def source_files() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Every syntax node of the source with the path of its file, relative to src/instar."""
    for file in source_files():
        for node in ast.walk(parsed(file)):
            yield file.relative_to(SOURCE).as_posix(), node


def function_lengths() -> list[int]:
    """Lines of each function, from `def` to its end, docstring included."""
    return sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for _, node in nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def modules_in_cycles() -> set[str]:
    """Modules that import each other, directly or in a ring; imports inside functions count too."""
    graph = grimp.build_graph("instar", cache_dir=None)
    imports = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while ready := {module for module, needs in imports.items() if not needs & imports.keys()}:
        imports = {module: needs for module, needs in imports.items() if module not in ready}
    return set(imports)


def broad_handlers() -> list[tuple[str, int]]:
    """Where `except Exception`, `except BaseException` or a bare `except` stops an error: file and line."""
    return [
        (file, node.lineno)
        for file, node in nodes()
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_on(node)
    ]


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"} for kind in caught)


def _raises_on(handler: ast.ExceptHandler) -> bool:
    """True for clean-up that ends by raising the same error again."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def figures() -> str:
    lengths = function_lengths()
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in source_files())
    over_70 = sum(length > 70 for length in lengths) / len(lengths)
    broad = len(broad_handlers()) / lines * 1000
    return (
        f"{lines:,} lines, {len(lengths):,} functions: median {statistics.median(lengths):.0f} lines (goal 9), "
        f"p90 {lengths[int(len(lengths) * 0.9)]} (goal 32), over 70 lines {over_70:.1%} (goal 2 %); "
        f"import cycles {len(modules_in_cycles())}; broad excepts {broad:.2f} per 1,000 lines (goal 0.5)"
    )


if __name__ == "__main__":
    print(figures())
