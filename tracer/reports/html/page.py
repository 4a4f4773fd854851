"""The page: its style and script, and the report's data as JSON beside them. Nothing of a report becomes HTML.

The script makes text of names (``textContent``) and nothing else. The page's own policy (CSP) lets only that script
run, known by its hash, and lets nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any

from tracer.model.finding import Report
from tracer.model.merged import Merged
from tracer.reports.html import data

_HERE = Path(__file__).parent


def of_report(report: Report) -> str:
    """The page of one report."""
    return _page(data.of_report(report))


def of_merged(merged: Merged) -> str:
    """The page of several reports."""
    return _page(data.of_merged(merged))


def _page(told: dict[str, Any]) -> str:
    style, script = _file("page.css"), _file("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(told['title'])}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<main id="page"><noscript>This page is drawn by its own script, and scripts are off. '
        "<code>closetrace report FILE</code> prints the same report as text.</noscript></main>\n"
        f'<script type="application/json" id="data">{_embedded(told)}</script>\n<script>{script}</script>\n'
        "</body>\n</html>\n"
    )


def _embedded(told: dict[str, Any]) -> str:
    """JSON that cannot end the element that it is in (HTML, 4.12.1.3: ``</script`` and ``<!--`` would)."""
    text = json.dumps(told, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
