"""Rules that import-linter and ruff cannot see."""

from __future__ import annotations

import ast
import re
import tokenize

from house_figures import ROOT, SOURCE, broad_handlers, modules_in_cycles, nodes, parsed, source_files

import instar
from instar.core import errors

DYNAMIC_IMPORTS_ALLOWED = {
    "__init__.py": "the public names that load on first use come from a table in the same file",
}
BROAD_EXCEPTS_ALLOWED = {
    "cli/frame.py": "the last place where an unexpected error can be turned into words instead of a traceback",
}
UNITS = {"KIB", "MIB"}


def test_no_module_imports_itself_round_a_corner():
    assert modules_in_cycles() == set()


def test_modules_are_imported_by_names_written_in_the_code():
    dynamic = {
        file
        for file, node in nodes()
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in {"import_module", "__import__"}
        and not isinstance(node.args[0], ast.Constant)
    }
    assert dynamic <= DYNAMIC_IMPORTS_ALLOWED.keys()


def test_only_named_places_stop_every_error():
    unexplained = [place for place in broad_handlers() if place[0] not in BROAD_EXCEPTS_ALLOWED]
    assert unexplained == []


def test_the_list_of_allowed_broad_excepts_names_no_place_that_is_gone():
    assert BROAD_EXCEPTS_ALLOWED.keys() <= {file for file, _ in broad_handlers()}


def test_public_names_are_sorted_and_all_there():
    assert list(instar.__all__) == sorted(instar.__all__)
    assert [name for name in instar.__all__ if not hasattr(instar, name)] == []


def test_every_name_the_package_imports_for_users_is_public():
    top = parsed(SOURCE / "__init__.py")
    imported = {
        alias.asname or alias.name
        for node in ast.walk(top)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("instar.")
        for alias in node.names
    }
    assert imported <= set(instar.__all__)


def test_every_limit_says_why_on_its_line():
    without = []
    for statement in parsed(SOURCE / "core" / "limits.py").body:
        if isinstance(statement, ast.Assign):
            name = ast.unparse(statement.targets[0])
            if name not in UNITS and len(_comments("core/limits.py").get(statement.lineno, "").split()) < 4:
                without.append(name)
    assert without == []


def test_every_limit_has_a_reader():
    text = "\n".join(file.read_text(encoding="utf-8") for file in source_files())
    unread = [
        ast.unparse(statement.targets[0])
        for statement in parsed(SOURCE / "core" / "limits.py").body
        if isinstance(statement, ast.Assign) and len(re.findall(rf"\b{ast.unparse(statement.targets[0])}\b", text)) < 2
    ]
    assert unread == []


def test_the_tree_in_the_docstring_is_the_tree_of_classes():
    drawn = re.findall(r"^ {4}([│ ├└─]*)(\w+)", errors.__doc__ or "", flags=re.MULTILINE)
    assert [(len(indent) // 4, name) for indent, name in drawn] == list(_drawn(errors.InstarError, 0))


def test_every_error_has_its_own_code_and_is_found_by_it():
    kinds = list(_kinds(errors.InstarError))
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert [errors.error_by_code(kind.code) for kind in kinds] == kinds


def test_the_code_of_an_error_is_its_name():
    names = {kind.__name__: kind.code for kind in _kinds(errors.InstarError)}
    spelled = {name: re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower().removesuffix("-error") for name in names}
    assert names == spelled


def test_every_error_is_raised_or_groups_those_that_are():
    text = "\n".join(file.read_text(encoding="utf-8") for file in source_files() if file.name != "errors.py")
    unused = [
        kind.__name__
        for kind in _kinds(errors.InstarError)
        if not kind.__subclasses__() and not re.search(rf"\b{kind.__name__}\b", text)
    ]
    assert unused == []


def test_modules_say_what_they_are():
    silent = [file.relative_to(ROOT).as_posix() for file in source_files() if not ast.get_docstring(parsed(file))]
    assert silent == []


def test_no_file_is_named_for_what_it_is_not():
    vague = re.compile(r"(^|_)(utils?|helpers?|managers?|enhanced|misc|common|v2)(_|$)")
    assert [file.name for file in source_files() if vague.search(file.stem)] == []


def _comments(path: str) -> dict[int, str]:
    with (SOURCE / path).open("rb") as source:
        return {
            token.start[0]: token.string
            for token in tokenize.tokenize(source.readline)
            if token.type == tokenize.COMMENT
        }


def _kinds(kind: type[errors.InstarError]):
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def _drawn(kind: type[errors.InstarError], depth: int):
    """The classes in the order they are defined, with their depth."""
    yield depth, kind.__name__
    for child in kind.__subclasses__():
        yield from _drawn(child, depth + 1)
