"""Demangled names are compared with c++filt of binutils, for the symbols of real programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer.stacks.languages.rust.v0 import demangle_v0
from tracer.stacks.naming import Naming
from tracer.stacks.registry import all_languages

demangle = Naming(all_languages()).additions.demangle

RUST = """
use std::collections::HashMap;
pub trait Visit<'a, T> { fn visit(&self, t: &'a T) -> usize; }
pub struct Pool<const N: usize, T>(pub [T; N]);
impl<'a, const N: usize, T: std::fmt::Debug> Visit<'a, (T, u8)> for Pool<N, T> {
    #[inline(never)] fn visit(&self, t: &'a (T, u8)) -> usize { println!("{:?}", t.0); N }
}
#[inline(never)] fn apply(f: &dyn for<'b> Fn(&'b str) -> Box<dyn Iterator<Item = u8> + 'b>) -> usize { f("é").count() }
#[inline(never)] fn grüße(c: char, p: *const [i64; 3], f: extern "C" fn(i32) -> !) -> usize {
    println!("{c:?} {p:?} {:?}", f as usize); 1 }
extern "C" fn stop(_: i32) -> ! { std::process::exit(1) }
fn main() {
    let mut m: HashMap<Option<&'static str>, Result<Vec<(u16,)>, std::io::Error>> = HashMap::new();
    m.insert(Some("a"), Ok(vec![(1,)]));
    let v: Vec<usize> = (0..3).map(|x| Pool::<4, _>([x; 4]).visit(&(x, 1u8))).collect();
    let a = apply(&|s: &str| Box::new(s.bytes().filter(|b| *b != 3)));
    println!("{} {:?} {} {}", m.len(), v, a, grüße('x', std::ptr::null(), stop));
}
"""


def filtered(names: list[str]) -> list[str]:
    """Demangle with c++filt and remove the hashes of Rust crates."""
    command = ["c++filt", "--no-verbose"]
    said = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return re.sub(r"\[[0-9a-f]{9,16}\]", "", said).splitlines()


def symbols(program: Path) -> list[str]:
    """List the names of all functions of a program."""
    lines = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({line.split()[-1] for line in lines})


@pytest.mark.skipif(not shutil.which("rustc"), reason="no rustc on this machine")
def test_rust_v0_as_cxxfilt(tmp_path: Path) -> None:
    """Every v0 symbol of a Rust program and its standard library is demangled as c++filt does."""
    (tmp_path / "r.rs").write_text(RUST)
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    v0 = ["-C", "symbol-mangling-version=v0"]
    subprocess.run(["rustc", *v0, "-o", tmp_path / "r", tmp_path / "r.rs"], check=True, env=environment)
    mangled = [name for name in symbols(tmp_path / "r") if name.startswith("_R") and "." not in name]
    assert len(mangled) > 300
    assert [demangle(name) for name in mangled] == filtered(mangled)


def test_cxx_as_cxxfilt() -> None:
    """C++ symbols of libstdc++ are demangled as c++filt does."""
    command = ["nm", "-D", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    mangled = sorted({line.split()[-1].partition("@")[0] for line in lines if " T _Z" in line})
    assert len(mangled) > 1000
    assert [demangle(name) for name in mangled] == filtered(mangled)


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        ("main", "main"),
        ("_ZN3foo3barEvE", "_ZN3foo3barEvE"),
        ("_Z", "_Z"),
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNvC1a4main.llvm.8123", "a::main"),
        ("_RNvC1a", "_RNvC1a"),
        ("_RB_", "_RB_"),
        ("_RIC1aTTTTTTTT", "_RIC1aTTTTTTTT"),
        ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
        ("_ZN4core3fmt5write17h0123456789abcdefE.llvm.11730254129", "core::fmt::write"),
        ("_ZN4core3fmt5write17h0123456789abcdefE.cold", "core::fmt::write"),
        ("_ZN3foo3barEv.cold", "foo::bar() [clone .cold]"),
    ],
)
def test_single_names(mangled: str, plain: str) -> None:
    """Names that are not mangled, or not correctly, stay unchanged."""
    assert demangle(mangled) == plain


@given(st.text(alphabet="NvCsXMYITEBRQFDpLGKSA_0123456789abuhj", max_size=60))
def test_any_v0_name(text: str) -> None:
    """Random text gives None or a name of limited length."""
    plain = demangle_v0("_R" + text)
    assert plain is None or len(plain) <= 8192
