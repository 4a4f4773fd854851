"""Writes the tables of docs/overhead.md from build/bench.json and build/bench-vm.json.

A table whose rows were not run stays as it is.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.benchmarks import document_tables, goals
from tests.benchmarks.readout import Results, rows_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/overhead.md"
_PLACE = "<!-- made by make bench-tables: {0} -->\n{1}<!-- end of {0} -->"


def conditions(results: Results) -> str:
    """Say when and where the figures were measured, and how much the machine itself varied."""
    machine, noise, size = results["machine"], results["noise"], results["effort"]
    spread = (noise["high"] - noise["low"]) / noise["median"] / 2
    turns = f"{size['turns']} turn{'s' * (size['turns'] != 1)}"
    said = (
        f"Linux {machine['kernel']}, {machine['cpus']} CPU{'s' * (machine['cpus'] != 1)}, {machine['at']} UTC, load "
        f"{machine['load'][0]:.1f} at the start; {turns}; the untraced ping-pong alone varied by "
        f"{100 * spread:.0f} % either way ({noise['n']} runs, quartiles)."
    )
    if results.get("counted_meanwhile"):
        said += f" Run times were counted by others while {', '.join(results['counted_meanwhile'])} ran at full speed."
    for name, reason in {**results["missing_peers"], **results["failed"]}.items():
        said += f" Not run: {name} ({reason.splitlines()[-1] if reason else 'no reason given'})."
    return said


def renew(build: Path) -> None:
    """Write the results of the last runs, from ``build``, into the document."""
    text = DOCUMENT.read_text()
    for name, file in (("host", "bench.json"), ("guest", "bench-vm.json")):
        if (build / file).exists():
            text = renewed(text, json.loads((build / file).read_text()), name)
    DOCUMENT.write_text(text)


def renewed(text: str, results: Results, machine: str) -> str:
    """Return the document with new tables. ``machine`` is ``host`` or ``guest``."""
    tables = {f"{machine} conditions": f"{conditions(results)}\n"}
    makers = document_tables.HOST if machine == "host" else document_tables.GUEST
    for name, (needs, make) in makers.items():
        if all(rows_of(results, need) for need in needs):
            tables[name] = make(results)
    if machine == "host" and all(rows_of(results, need) for need in goals.NEEDS):
        tables["goals"] = goals.table(results)
    for name, table in tables.items():
        pattern = re.escape(_PLACE).replace(r"\{0\}", name).replace(r"\{1\}", "(.*?)")
        place = re.search(pattern, text, re.DOTALL)
        if not place:
            raise LookupError(f"{DOCUMENT.name} has no place for the table of {name}")
        text = text.replace(place.group(0), _PLACE.format(name, table))
    return text
