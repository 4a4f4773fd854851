"""Writes the module list of docs/architecture.md from the modules' own first lines: ``python docs/make_modules.py``."""

from __future__ import annotations

import ast
from pathlib import Path

DOCUMENT = Path(__file__).with_name("architecture.md")
PACKAGE = Path(__file__).resolve().parent.parent / "tracer"
BEGIN, END = "<!-- modules: make man -->\n", "<!-- end of modules -->\n"
ORDER = (
    *("cli", "commands", "session", "reports", "diagnose", "stacks", "flight", "host", "kernel", "model", "trail"),
    *("machine", "errors", "demo"),
)


def _summary(path: Path) -> str:
    documentation = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(documentation.split("\n\n")[0].split())


def _place(path: Path) -> tuple[int, str]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return (ORDER.index(parts[0]) if parts[0] in ORDER else len(ORDER), "/".join(parts))


def modules() -> list[Path]:
    """All modules with content, from the command line inwards."""
    return sorted((path for path in PACKAGE.rglob("*.py") if _summary(path)), key=_place)


def document() -> str:
    """The document with its module list renewed."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    lines = [f"- `tracer/{path.relative_to(PACKAGE)}`: {_summary(path)}\n" for path in modules()]
    return before + BEGIN + "".join(lines) + END + rest.split(END)[1]


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
