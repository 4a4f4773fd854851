"""The documents say what the code does: what is written from it is up to date, and nothing is left out."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from tracer.cli import main_group
from tracer.model.finding import Verdict

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
MARKDOWN = sorted(
    {*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "vagrant").glob("*.md"), *(ROOT / "tests").rglob("*.md")}
)
CODE = (".py", ".h", ".c", ".json")
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(DOCS / name))


def commands() -> list[tuple[str, click.Command]]:
    context = click.Context(main_group)
    names = main_group.list_commands(context)
    return [("", main_group), *((name, main_group.get_command(context, name) or main_group) for name in names)]


def test_the_man_page_is_that_of_the_command_line() -> None:
    """`make man` writes it; whoever changes an option runs that."""
    assert (DOCS / "closetrace.1").read_text(encoding="utf-8") == script("make_man.py")["page"](), "run make man"


def test_the_man_page_is_good_roff() -> None:
    """groff finds nothing to warn of, and shows every command and option."""
    shown = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(DOCS / "closetrace.1")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    page = (DOCS / "closetrace.1").read_text(encoding="utf-8")
    assert "\\eb" not in page, "a paragraph's backspace was written as two characters"
    assert "RANGE" not in page, "an option has no name for its value"
    text = shown.stdout.replace("\u2010", "-").replace("\u2212", "-")
    for name, command in commands():
        assert f"closetrace {name}".strip() in text
        for param in command.params:
            for spelling in param.opts if isinstance(param, click.Option) else ():
                assert spelling in text


def test_the_module_list_is_up_to_date() -> None:
    """Every module of the package has its line in docs/architecture.md (`make man`)."""
    module = script("make_modules.py")
    assert module["document"]() == ARCHITECTURE, "run make man"
    named = set(re.findall(r"^- `tracer/(\S+\.py)`: \S", ARCHITECTURE, re.MULTILINE))
    tree = {str(path.relative_to(ROOT / "tracer")) for path in module["modules"]()}
    assert named == tree
    assert "session/watch.py" in named


def test_every_map_is_in_the_architecture() -> None:
    """With who writes and who reads it; and no map is told that does not exist."""
    source = (ROOT / "bpf/maps.h").read_text(encoding="utf-8")
    tables = re.findall(r'^BPF_(?:F_)?TABLE\("\w+", [\w ]+, [\w ]+, (\w+),', source, re.MULTILINE)
    kinds = "ARRAY|STACK|QUEUE|PERCPU_ARRAY|PROG_ARRAY|RINGBUF_OUTPUT"
    others = re.findall(rf"^BPF_(?:{kinds})\((\w+),", source, re.MULTILINE)
    maps = set(tables + others)
    assert len(maps) == len(re.findall(r"^BPF_\w+\(", source, re.MULTILINE))
    assert maps == set(re.findall(r"^\| `(\w+)` \|", ARCHITECTURE, re.MULTILINE))


PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """A path in a document leads somewhere, up to its first placeholder: ``bpf/hooks/<family>.h``."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.<-])(?:bpf|docs|tracer|tests)/(?:[\w.-]+/)*(?:[\w.-]*\w(?![\w.-]*<))?", text):
        assert (ROOT / path).exists(), path
    if page.name == "architecture.md":
        rooms = "|".join(path.name for path in (ROOT / "tracer").iterdir() if path.is_dir())
        for path in re.findall(rf"`((?:{rooms})/[\w./]*)`", text):
            assert (ROOT / "tracer" / path).exists(), path


def test_named_code_exists() -> None:
    """What CONTRIBUTING.md names in the code is in the code."""
    code = [path for top in ("bpf", "tracer", "tests") for path in (ROOT / top).rglob("*.*") if path.suffix in CODE]
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in code)))
    named = re.findall(r"`(\w+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert {"TRACEPOINTS", "ONE_OF_EACH", "TransitionWriter"} <= set(named)
    assert [name for name in named if name not in words] == []


@pytest.mark.parametrize("document", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A link to a file of the project names one that exists, from where the document is."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert "://" in target or (document.parent / target).exists(), target


def test_frames_of_case_studies_are_in_the_programs() -> None:
    """A page names a function with the line of one of our programs: the line is in that function."""
    programs = {path.name: path for path in (ROOT / "tests/advice/programs").rglob("*_service.*")}
    told = set()
    for page in (DOCS / "case-studies").glob("*.md"):
        frames = re.findall(r"^ +>? *(\w+) +(\w+\.(?:py|js)):(\d+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        told |= {frame for frame in frames if frame[1] in programs}
    for function, program, line in told:
        lines = programs[program].read_text(encoding="utf-8").splitlines()[: int(line)]
        around = [found[1] for text in lines if (found := re.match(r"(?:async )?(?:def|function) (\w+)", text))]
        assert around[-1] == function, (function, program, line)
    assert {"ask_supplier", "status_of", "refuse"} <= {function for function, *_ in told}


def test_every_case_study_is_listed() -> None:
    """In docs/case-studies/README.md."""
    studies = {path.name for path in (DOCS / "case-studies").glob("*.md")} - {"README.md"}
    index = (DOCS / "case-studies/README.md").read_text(encoding="utf-8")
    assert studies == set(re.findall(r"^\| \[[^\]]+\]\(([\w-]+\.md)\) \|", index, re.MULTILINE))


def test_every_design_record_is_listed() -> None:
    """In docs/design/README.md, and each has the headings that it promises."""
    records = {path.name for path in (DOCS / "design").glob("*.md")} - {"README.md"}
    index = (DOCS / "design/README.md").read_text(encoding="utf-8")
    assert records == set(re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.md)\) \|", index, re.MULTILINE))
    headings = ["Context", "Decision", "Why", "Tried and dropped", "What would change our mind"]
    for name in records:
        text = (DOCS / "design" / name).read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == headings, name


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.schema.json")), ids=lambda path: path.name)
def test_schemas_are_schemas(path: Path) -> None:
    """Each is valid by the draft that it names."""
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    jsonschema.validators.validator_for(schema).check_schema(schema)


def test_every_verdict_is_explained() -> None:
    """In the table and in a paragraph of its own; and no verdict is told that does not exist."""
    text = (DOCS / "verdicts.md").read_text(encoding="utf-8")
    table = set(re.findall(r"^\| \d+ \| `([\w-]+)` \|", text, re.MULTILINE))
    paragraphs = set(re.findall(r"^\*\*`([\w-]+)`(?:[.,]| and )", text, re.MULTILINE))
    every = {verdict.value for verdict in Verdict}
    readme = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert table == readme == every
    assert every - paragraphs == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_works_as_documented(shell: str) -> None:
    """The command in docs/completion.md gives a script, and the program answers it with commands and options."""
    assert f"_CLOSETRACE_COMPLETE={shell}_source" in (DOCS / "completion.md").read_text(encoding="utf-8")
    closetrace = str(Path(sys.executable).with_name("closetrace"))

    def ask(**variables: str) -> str:
        done = subprocess.run(
            [closetrace], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    assert "_CLOSETRACE_COMPLETE" in ask(_CLOSETRACE_COMPLETE=f"{shell}_source")
    answered = ask(_CLOSETRACE_COMPLETE=f"{shell}_complete", COMP_WORDS="closetrace t", COMP_CWORD="1")
    if shell != "fish":
        assert {"tail", "timeline"} <= set(re.split(r"[,\s]", answered))


def test_every_command_and_option_is_explained() -> None:
    """No option without help, no command without a docstring."""
    for name, command in commands():
        assert command.help, name
        for param in command.params:
            assert not isinstance(param, click.Option) or param.help, (name, param.opts)
