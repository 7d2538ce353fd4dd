"""Runs one benchmark by name, or lists them all. A benchmark is a module here with `main() -> int`."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
MODULE_OF = {"import": "import_cost"}  # `import` is no module name


def names() -> dict[str, Path]:
    """Every benchmark: the name users say, and its file."""
    said = {module: name for name, module in MODULE_OF.items()}
    files = [file for file in sorted(FOLDER.glob("[a-z]*.py")) if has_main(file) and file != Path(__file__)]
    return {said.get(file.stem, file.stem).replace("_", "-"): file for file in files}


def has_main(file: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in parsed(file).body)


def first_line(file: Path) -> str:
    return (ast.get_docstring(parsed(file)) or "").partition("\n")[0]


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    known = names()
    if not arguments:
        for name, file in known.items():
            print(f"{name:<10} {first_line(file)}")
        return 0
    name = arguments[0]
    if name not in known:
        print(f"bench: no benchmark {name!r}; known are: {', '.join(known)}", file=sys.stderr)
        return 2
    sys.argv = [name, *arguments[1:]]  # what follows the name are the benchmark's own options
    result: int = runpy.run_module(f"benchmarks.{known[name].stem}", run_name="benchmark")["main"]()
    return result


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
