"""Function names that hold template or generic arguments."""

from __future__ import annotations


def without_arguments(name: str) -> str:
    """Remove the arguments: ``std::vector<int>::at(int)`` becomes ``std::vector::at(int)``."""
    kept, depth = [], 0
    for letter in name:
        depth += letter == "<"
        if depth == 0:
            kept.append(letter)
        depth -= letter == ">" and depth > 0
    return "".join(kept)
