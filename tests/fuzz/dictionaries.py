"""The words that a target's formats are made of, as libFuzzer takes them: taken from the code that reads them.

A comparison that fails shows libFuzzer the bytes that it wanted; a look-up in a table of names or a field of a record
that is not there shows it nothing.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = Path(__file__).resolve().parent.parent.parent
_LONGEST = 64
"""The bytes of libFuzzer's longest word."""


def dictionary(modules: Iterable[str]) -> str:
    """Return the short literals and the field names of these modules, in libFuzzer's format: a quoted word a line."""
    found: set[bytes] = set()
    for module in modules:
        path = _ROOT.joinpath(*module.split(".")).with_suffix(".py")
        found.update(_words(ast.parse(path.read_text("utf-8"))))
    return "".join(f'"{_quoted(word)}"\n' for word in sorted(found))


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _words(tree: ast.AST) -> Iterator[bytes]:
    for node in ast.iter_child_nodes(tree):
        word: object = None
        if isinstance(node, ast.Raise | ast.JoinedStr) or _is_docstring(node):
            continue
        if isinstance(node, ast.Constant):
            word = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            word = node.target.id
        if isinstance(word, str):
            word = word.encode("utf-8", "replace")
        if isinstance(word, bytes) and 0 < len(word) <= _LONGEST:
            yield word
        yield from _words(node)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
