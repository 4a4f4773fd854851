"""``make install`` and ``make uninstall``, from a checkout whose path has a space, to a prefix that has one as well."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wheel.installed import Installed, checked, copy_of_the_repository


def _make(source: Path, prefix: Path, target: str, **variables: str) -> None:
    """In a mount namespace with an empty /var/cache: the machine's own cache is not the test's to remove."""
    words = ["make", "-C", str(source), target, f"PREFIX={prefix}", f"FISH_LINK={prefix}/fish/closetrace.fish"]
    script = f"mount -t tmpfs tmpfs /var/cache && mkdir /var/cache/closetrace && {shlex.join(words)}"
    if target == "uninstall":
        script += " && [ ! -e /var/cache/closetrace ]"
    checked("unshare", "--mount", "sh", "-c", script, env={**os.environ, **variables})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Installed in an unfriendly shell: a narrow umask, and settings and programs that lead to another python."""
    work = tmp_path_factory.mktemp("a place")
    work.chmod(0o755)
    fake = work / "fake"
    fake.mkdir()
    for name in ("python", "python3", "pip", "pip3"):
        (fake / name).write_text("#!/bin/sh\nexit 99\n")
        (fake / name).chmod(0o755)
    (fake / "click.py").write_text("raise SystemExit('the wrong click')\n")
    source, prefix = copy_of_the_repository(work / "a checkout"), work / "usr local"
    old = os.umask(0o077)
    try:
        path = f"{fake}:{os.environ['PATH']}"
        _make(source, prefix, "install", PATH=path, PYTHONPATH=str(fake), PYTHONHOME=str(fake), VIRTUAL_ENV=str(fake))
    finally:
        os.umask(old)
    yield Installed(prefix, Path("/"))
    _make(source, prefix, "uninstall")
    left = [path for path in prefix.rglob("*") if not path.is_dir()]
    assert not left


def test_the_command_works_through_its_link(made: Installed) -> None:
    """In what `make install` made, not in the checkout."""
    assert made.command.is_symlink()
    done = made.run("--duration", "0.1", "--pid", str(os.getpid()))
    assert done.returncode == 0, done.stderr
    assert str(made.home / "lib/closetrace") in made.run("doctor", "--json").stdout


def test_files_are_for_everyone(made: Installed) -> None:
    """census needs no root, so others than root must be able to run it, whatever the installer's umask."""
    narrow = [path for path in (made.home / "lib").rglob("*") if not path.stat().st_mode & 0o004]
    assert not narrow


def test_man_finds_the_page(made: Installed) -> None:
    """By its name."""
    assert checked("man", "-M", made.home / "share/man", "-w", "closetrace").strip().endswith("man1/closetrace.1")


BASH = """
. /usr/share/bash-completion/bash_completion
COMP_WORDS=(closetrace ti) COMP_CWORD=1
__load_completion closetrace
_closetrace_completion closetrace ti closetrace
echo "${COMPREPLY[@]}"
"""
FISH = """
set fish_complete_path $argv[1]
complete -C "closetrace ti" | string split -f 1 \\t
"""
# zsh completes in its line editor only: it is given a terminal, and a key that prints what the line has become.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'fpath=($DIRECTORY $fpath); autoload -Uz compinit; compinit -u -D; PS1= RPS1='
zpty -w shell 'show() { print -r -- "<$BUFFER>"; exit }; zle -N show; bindkey "^X" show'
zpty -n -w shell $'closetrace ti\\t\\C-X'
while zpty -r shell line; do print -r -- $line; done
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes(made: Installed, shell: str) -> None:
    """Each loads the installed file by itself, at the first completion."""
    share = made.home / "share"
    words = {
        "bash": ["bash", "--norc", "-c", BASH],
        "zsh": ["zsh", "-f", "-c", ZSH],
        "fish": ["fish", "--no-config", "-c", FISH, str(made.home / "fish")],
    }[shell]
    env = {**os.environ, "PATH": f"{made.home / 'bin'}:{os.environ['PATH']}", "XDG_DATA_DIRS": str(share)}
    env["DIRECTORY"] = str(share / "zsh/site-functions")
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "timeline" in done.stdout, done.stdout + done.stderr
