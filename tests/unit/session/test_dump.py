"""doctor --dump: which files are written, where to, and what is said of those that could not be made."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn, Optional

import pytest

from tests.unit.kernel.hosts import MODERN
from tracer import cli
from tracer.errors import CompileFailed, HostUnsupported
from tracer.kernel.objectcode import MapSpec, ObjectCode, from_text
from tracer.kernel.source import Sizes
from tracer.kernel.verifier import Verified
from tracer.model.scope import Scope
from tracer.session import dump as room
from tracer.session.dump import VARIANTS, Folder, dump
from tracer.session.request import Request

RETURNS_0 = bytes.fromhex("b700000000000000 9500000000000000")
CODE = ObjectCode((MapSpec("counters", 2, 4, 8, 1, 0),), {"tp_state": RETURNS_0})
ASKED = Request(Scope(), "the whole host", Sizes(16 << 20), VARIANTS["trace"], "auto")
WHOLE = Verified("0: (b7) r0 = 0\n1: (95) exit\nprocessed 2 insns (limit 1000000)\n", None, True)
REFUSED = Verified("0: (95) exit\nR0 !read_ok\nprocessed 1 insns (limit 1000000)\n", 13, True)


class Programs:
    """Stands for Program: two programs, one of them refused."""

    def __init__(self, *_: Any) -> None:
        self.closed, self.languages = False, 0

    def verified(self, *_: Any) -> Any:
        yield "tp_state", WHOLE
        yield "tp_recv", REFUSED

    def verified_language(self, _code: ObjectCode) -> Any:
        self.languages += 1
        yield f"walk-{self.languages}", WHOLE

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No compiler and no load."""
    tree = tmp_path / "tree"
    (tree / "include" / "linux").mkdir(parents=True)
    (tree / "include" / "linux" / "kconfig.h").write_text("struct sock;\n")
    (tree / "programs").mkdir()
    monkeypatch.setattr(room, "BTF_PATH", str(tree))
    monkeypatch.setattr(room, "kept_hooks", lambda _: None)
    monkeypatch.setattr(room, "discover", lambda _: MODERN)
    monkeypatch.setattr(room, "header_tree", lambda: (tree, None))
    monkeypatch.setattr(room, "compiled", lambda *_: CODE)
    monkeypatch.setattr(room, "Program", Programs)
    return monkeypatch


def test_every_part_is_written(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each file holds what its line in contents.txt says; nothing is missing."""
    folder = Folder(tmp_path / "new" / "dump")
    assert dump(folder, ASKED, '{"ready": true}') == []
    there = tmp_path / "new" / "dump"
    assert json.loads((there / "findings.json").read_text()) == {"ready": True}
    assert (there / "headers/include/linux/kconfig.h").read_text() == "struct sock;\n"
    assert "#define CT_STACK_BYTES 16384\n" in (there / "program.c").read_text()
    assert from_text((there / "object.json").read_text()) == CODE
    assert (there / "object.o").read_bytes().startswith(b"\x7fELF")
    assert (there / "verifier/tp_state.log").read_text() == WHOLE.log
    assert "walk_ruby" in (there / "languages/ruby.bpf.c").read_text()
    assert "walk_cpython" in (there / "languages/cpython.bpf.c").read_text()
    assert (there / "verifier/walk-1.log").read_text() == WHOLE.log
    assert (there / "verifier/tp_recv.log").read_text() == f"closetrace: refused, Permission denied\n{REFUSED.log}"
    plan = json.loads((there / "plan.json").read_text())
    assert {"kind": "fentry", "target": "tcp_close", "program": "fe_tcp_close"} in plan["attachments"]
    assert plan["features"]["release"] == MODERN.release
    contents = (there / "contents.txt").read_text()
    for name in os.listdir(there):
        assert name in contents or name == "contents.txt"
    assert "missing" not in contents


def test_what_the_compiler_wrote_is_kept_whole(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And all that comes after compiling is called missing, with the compiler's first error."""
    said = "x.c:1:2: error: no such thing\n   1 | no such thing\nx.c:9:9: error: another\n"

    def fail(*_: Any) -> NoReturn:
        raise CompileFailed("the kernel-side program could not be compiled: x.c:1:2: error: no such thing", said)

    fake.setattr(room, "compiled", fail)
    folder = Folder(tmp_path / "dump")
    missing = dump(folder, ASKED, "{}")
    assert (folder.path / "compiler.log").read_text() == said
    assert (folder.path / "program.c").exists()
    assert len(missing) == 1
    assert missing[0].startswith("missing: object.json, object.o, languages/, verifier/ (")
    assert "no such thing" in missing[0]
    contents = (folder.path / "contents.txt").read_text()
    assert "compiler.log" in contents
    assert missing[0] in contents


def test_a_host_without_a_plan_still_gives_findings_and_headers(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason is that of doctor."""

    def refuse(*_: Any) -> NoReturn:
        raise HostUnsupported("no way to watch state")

    fake.setattr(room, "make_plan", refuse)
    missing = dump(Folder(tmp_path / "dump"), ASKED, "{}")
    assert sorted(os.listdir(tmp_path / "dump")) == ["contents.txt", "findings.json", "headers"]
    assert missing == [
        "missing: plan.json, program.c, object.json, object.o, languages/, verifier/ (no way to watch state)"
    ]


def test_without_btf_the_headers_are_those_of_the_distribution(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are not copied; all else is there."""
    fake.setattr(room, "BTF_PATH", "/no/such/btf")
    missing = dump(Folder(tmp_path / "dump"), ASKED, "{}")
    assert missing == ["missing: headers/ (there is no /no/such/btf: the installed headers are used)"]
    assert (tmp_path / "dump/verifier/tp_state.log").exists()


def test_a_log_that_was_cut_says_so(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In its first line."""
    fake.setattr(Programs, "verified", lambda *_: iter([("tp_state", Verified("0: r0 = 0", None, False))]))
    dump(Folder(tmp_path / "dump"), ASKED, "{}")
    assert (tmp_path / "dump/verifier/tp_state.log").read_text().splitlines()[0].endswith("is cut")


def test_a_full_disk_is_an_error_of_its_own(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a reason for a missing part: nothing else could be written either."""

    def full(self: Folder, name: str, content: object) -> NoReturn:
        raise OSError(28, "No space left on device", name)

    fake.setattr(Folder, "write", full)
    with pytest.raises(OSError, match="No space left"):
        dump(Folder(tmp_path / "dump"), ASKED, "{}")


def test_nobody_else_can_write(fake: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the umask is; what was there before keeps its permissions."""
    old = os.umask(0)
    try:
        dump(Folder(tmp_path / "above" / "dump"), ASKED, "{}")
    finally:
        os.umask(old)
    for path in (tmp_path / "above", *(tmp_path / "above").rglob("*")):
        assert not path.stat().st_mode & 0o022, path
    assert stat.S_IMODE((tmp_path / "above" / "dump").stat().st_mode) == 0o700


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    """One that was made for it."""
    (tmp_path / "empty").mkdir(mode=0o755)
    folder = Folder(tmp_path / "empty")
    folder.write("a/b/c.txt", "text \udcff")
    assert (tmp_path / "empty/a/b/c.txt").read_bytes() == b"text \\udcff"


def place(tmp_path: Path, what: str) -> Path:
    path = tmp_path / what
    if what == "file":
        path.write_text("")
    elif what == "link":
        (tmp_path / "target").mkdir()
        path.symlink_to(tmp_path / "target")
    elif what == "full":
        path.mkdir()
        (path / "something").write_text("")
    elif what == "open to all":
        path.mkdir()
        path.chmod(0o777)
    elif what == "below a file":
        path.write_text("")
        path /= "dump"
    return path


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("file", "is not a directory"),
        ("link", "is not a directory"),
        ("full", "is not empty"),
        ("open to all", "others can write"),
        ("below a file", "cannot make the directory"),
    ],
)
def test_unfit_directories_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, reason: str
) -> None:
    """One line, exit 2, and nothing is written."""
    path = place(tmp_path, what)
    before = sorted(tmp_path.rglob("*"))
    assert cli.run_command(["doctor", "--dump", str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("owner", "mode", "open_to_others"),
    [
        (0, 0o755, False),
        (12345, 0o755, False),
        (12346, 0o755, True),
        (0, 0o775, True),
        (12345, 0o702, True),
    ],
)
def test_the_owner_may_be_root_or_who_called_sudo(
    monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, open_to_others: bool
) -> None:
    """Any other could put a link where root writes."""
    monkeypatch.setenv("SUDO_UID", "12345")
    status = os.stat_result((stat.S_IFDIR | mode, 0, 0, 1, owner, owner, 0, 0, 0, 0))
    assert room._open_to_others(status) is open_to_others


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_its_own_text(fake: pytest.MonkeyPatch, tmp_path: Path, variant: str) -> None:
    """An error of `tail` is looked for in the program of `tail`."""
    texts: list[Optional[str]] = []

    def compiled(text: Optional[str], *_: object) -> ObjectCode:
        texts.append(text)
        return CODE

    fake.setattr(room, "compiled", compiled)
    scope = Scope(pids=(1,), follow_forks=variant == room.FOLLOWS_FORKS)
    dump(Folder(tmp_path / "dump"), Request(scope, "", Sizes(16 << 20), VARIANTS[variant], "auto"), "{}")
    assert (tmp_path / "dump/program.c").read_text() == texts[0]
    defined = {line.split()[1] for line in str(texts[0]).splitlines() if line.startswith("#define ")}
    marks = {"CT_GUARDED", "CT_SCOPE_FORKS", "CT_EVENTS", "CT_EVENT_STACKS", "CT_ALL_ENDINGS"}
    assert (
        defined & marks
        == {
            "trace": set(),
            "max-overhead": {"CT_GUARDED"},
            "run": {"CT_SCOPE_FORKS"},
            "tail": {"CT_EVENTS"},
            "tail-stacks": {"CT_EVENTS", "CT_EVENT_STACKS"},
            "timeline": {"CT_ALL_ENDINGS"},
        }[variant]
    )


@pytest.mark.parametrize("option", [("--comm", "x"), ("--stack-bytes", "4096"), ("--for", "tail")], ids=" ".join)
def test_options_of_the_dump_need_it(capsys: pytest.CaptureFixture[str], option: tuple[str, str]) -> None:
    """They change nothing that doctor alone finds."""
    assert cli.run_command(["doctor", *option]) == 2
    assert f"{option[0]} goes with --dump" in capsys.readouterr().err
