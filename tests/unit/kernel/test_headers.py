"""The generated header tree: what is trusted, what is not, and where it goes when the cache is no good."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

import pytest

from tracer.errors import HostUnsupported
from tracer.kernel import headers
from tracer.kernel.btf import KIND_FUNC, Btf
from tracer.kernel.hooks import hooks_in


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def kconfig(tree: Path) -> str:
    return (tree / "include/linux/kconfig.h").read_text()


@pytest.mark.root
def test_the_tree_is_made_once(cache: Path) -> None:
    """The second run finds the first one's tree, in a directory that root alone can enter."""
    tree, remove = headers.header_tree(cache=cache)
    assert remove is None
    assert tree.parent == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    before = (tree / "include/linux/kconfig.h").stat().st_mtime_ns
    assert headers.header_tree(cache=cache) == (tree, None)
    assert (tree / "include/linux/kconfig.h").stat().st_mtime_ns == before
    assert [entry.name for entry in cache.iterdir()] == [tree.name]


@pytest.mark.root
def test_the_tree_has_all_that_bcc_includes(cache: Path) -> None:
    """bcc takes a directory for kernel headers by kconfig.h, which must bring the kernel's types and our names."""
    tree, _ = headers.header_tree(cache=cache)
    text = kconfig(tree)
    for needle in ("struct tcp_sock {", "struct task_struct {", "BPF_FUNC_probe_read_user = 112", "LINUX_VERSION_CODE"):
        assert text.count(needle) == 1, needle
    for name in ("uapi/linux/bpf.h", "linux/version.h", "linux/types.h", "asm/page.h", "uapi/linux/ptrace.h"):
        assert (tree / "include" / name).read_text() == ""


def foreign(path: Path) -> None:
    path.mkdir(mode=0o700)
    (path / "planted").touch()
    os.chown(path, 65534, 65534)


def writable_by_others(path: Path) -> None:
    path.mkdir()
    (path / "planted").touch()
    path.chmod(0o770)


def symlink(path: Path) -> None:
    target = path.with_name("elsewhere")
    target.mkdir(mode=0o700)
    path.symlink_to(target)


def dangling(path: Path) -> None:
    path.symlink_to("/nonexistent/closetrace")


def plain_file(path: Path) -> None:
    path.write_text("")


def listing(path: Path) -> Optional[list[str]]:
    """The names in a directory; None where there is none."""
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else None


TRAPS = [foreign, writable_by_others, symlink, dangling, plain_file]


@pytest.mark.root
@pytest.mark.parametrize("trap", TRAPS)
def test_a_cache_that_others_can_write_is_not_used(cache: Path, trap: Callable[[Path], None]) -> None:
    """What root compiles then lies in a private directory that is removed after use."""
    trap(cache)
    before = listing(cache)
    tree, remove = headers.header_tree(cache=cache)
    assert remove is not None
    assert remove in tree.parents
    assert remove.stat().st_mode & 0o777 == 0o700
    assert "struct tcp_sock {" in kconfig(tree)
    assert listing(cache) == before
    shutil.rmtree(remove)


@pytest.mark.root
@pytest.mark.parametrize("trap", TRAPS)
def test_a_planted_tree_is_not_used(cache: Path, trap: Callable[[Path], None]) -> None:
    """A tree inside the cache is held to the same rule as the cache, and nothing is left beside it."""
    cache.mkdir(mode=0o700)
    trap(cache / headers._fingerprint())
    before = {entry.name for entry in cache.iterdir()}
    tree, remove = headers.header_tree(cache=cache)
    assert "struct tcp_sock {" in kconfig(tree)
    assert remove is not None
    assert {entry.name for entry in cache.iterdir()} == before
    shutil.rmtree(remove)


@pytest.mark.root
def test_two_at_once(cache: Path) -> None:
    """Runs that start together end up with one whole tree, and leave no half-made one behind."""
    trees: list[Path] = []

    def build() -> None:
        trees.append(headers.header_tree(cache=cache)[0])

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trees) == 4
    assert len(set(trees)) == 1
    assert [entry.name for entry in cache.iterdir()] == [trees[0].name]
    assert "struct tcp_sock {" in kconfig(trees[0])


@pytest.mark.root
def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space in the cache: half a tree is taken away again and the private directory serves."""
    write, failures = headers._write_tree, []

    def no_space(root: Path, contents: Mapping[str, str]) -> None:
        if cache in root.parents:
            (root / "include").mkdir()
            failures.append(root)
            raise OSError(28, "No space left on device")
        write(root, contents)

    monkeypatch.setattr(headers, "_write_tree", no_space)
    tree, remove = headers.header_tree(cache=cache)
    assert remove is not None
    assert "struct tcp_sock {" in kconfig(tree)
    assert failures
    assert list(cache.iterdir()) == []
    shutil.rmtree(remove)


@pytest.mark.root
def test_no_room_anywhere_is_one_clear_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither cache nor temporary directory: the sentence names both and the reason; nothing stays."""
    private = cache.with_name("tmp")
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))

    def no_space(_root: Path, _contents: Mapping[str, str]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(headers, "_write_tree", no_space)
    with pytest.raises(HostUnsupported, match="No space left on device") as caught:
        headers.header_tree(cache=cache)
    assert str(cache) in str(caught.value)
    assert list(private.iterdir()) == []


def no_btf() -> Btf:
    raise AssertionError("BTF was opened")


@pytest.mark.root
def test_only_the_first_start_reads_btf(cache: Path) -> None:
    """What it says of the hooks is kept with the types, and is what it says now."""
    tree, _ = headers.header_tree(cache=cache)
    assert headers.header_tree(no_btf, cache) == (tree, None)
    kept = headers.kept_hooks(tree, no_btf)
    btf = Btf()
    assert kept == hooks_in(btf)
    assert kept.btf_ids["tcp_set_state"] == btf.find("tcp_set_state", KIND_FUNC)
    btf.close()


@pytest.mark.root
@pytest.mark.parametrize("damage", ["", "[]", "{", '{"functions": {}}', '{"functions": 1, "btf_ids": 2}'])
def test_damaged_hooks_are_read_anew(cache: Path, damage: str) -> None:
    """A crash left half a file: BTF itself is asked."""
    tree, _ = headers.header_tree(cache=cache)
    before = headers.kept_hooks(tree, no_btf)
    (tree / "hooks.json").write_text(damage)
    assert headers.kept_hooks(tree) == before


def test_another_btf_has_another_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte makes the difference, also where the file cannot be mapped."""
    path = tmp_path / "btf"
    names = set()
    for content in (b"x" * 10000, b"x" * 9999 + b"y", b""):
        path.write_bytes(content)
        monkeypatch.setattr(headers, "BTF_PATH", str(path))
        mapped = headers._fingerprint()
        with monkeypatch.context() as without:
            without.setattr(mmap, "mmap", lambda *_, **__: (_ for _ in ()).throw(OSError(19, "No such device")))
            assert headers._fingerprint() == mapped
        names.add(mapped)
    assert len(names) == 3
