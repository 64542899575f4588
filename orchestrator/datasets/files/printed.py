"""A row as Python prints it: what `str(row)` wrote where `json.dumps(row)` was meant."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any


def printed_by_python(line: bytes) -> bytes | None:
    """The JSON of an object that Python printed.

    Args:
        line: one line.

    Returns:
        None where it is no such object, or says more than JSON can, or could be read in two ways: a
        key that is there twice, texts side by side. Only literals are read; nothing is executed.
    """
    try:
        with warnings.catch_warnings(action="error"):
            tree = ast.parse(line, mode="eval")
            row = ast.literal_eval(tree)
        made = json.dumps(row, ensure_ascii=False, allow_nan=False)
        is_whole = isinstance(row, dict) and json.loads(made) == row
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, Warning):
        return None
    plain = is_whole and all(_is_plain(node, line) for node in ast.walk(tree))
    return made.encode() if plain else None


def _is_plain(node: Any, line: bytes) -> bool:
    if isinstance(node, ast.Dict):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return len(keys) == len(node.keys) == len(set(keys))
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return True
    place = slice(node.col_offset, node.end_col_offset)
    return node.end_lineno == 1 and _ONE_TEXT.fullmatch(line[place]) is not None


_ONE_TEXT = re.compile(rb"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
