"""Demangles Rust's v0 symbols (RFC 2603). The usual distributions have no shared library that can.

Crate hashes are left out, as in the short form of ``rustc-demangle`` and in c++filt.
"""

from __future__ import annotations

from typing import Callable, Optional

_MAX_DEPTH = 100
_MAX_LENGTH = 8192

_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip


class _InvalidError(Exception):
    pass


def demangle_v0(name: str) -> Optional[str]:
    """Demangle ``name`` (``_R...``; a suffix such as ``.llvm.123`` is ignored); None if it is not such a name."""
    mangled = name.partition(".")[0]
    if not mangled.startswith("_R") or len(mangled) < 3 or not mangled.isascii() or mangled[2].isdigit():
        return None
    parser = _Parser(mangled[2:])
    try:
        parser.path(in_value=True)
        if parser.position < len(parser.text):
            parser.silent += 1  # the crate that uses the instance does not help a reader
            parser.path(in_value=False)
        if parser.position < len(parser.text):
            return None
    except (_InvalidError, IndexError, ValueError, OverflowError):
        return None
    return "".join(parser.out)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.out: list[str] = []
        self.size = 0
        self.silent = 0
        self.depth = 0
        self.lifetimes = 0

    def path(self, in_value: bool) -> None:
        self._deeper()
        tag = self._next()
        if tag == "C":
            self._disambiguator()
            self._print(self._identifier())
        elif tag == "N":
            self._nested(in_value)
        elif tag in "MX":
            self._disambiguator()
            self.silent += 1
            self.path(in_value=False)
            self.silent -= 1
            self._qualified(tag == "X")
        elif tag == "Y":
            self._qualified(True)
        elif tag == "I":
            self.path(in_value)
            self._print("::<" if in_value else "<")
            self._separated(self._generic_argument)
            self._print(">")
        elif tag == "B":
            self._backreference(lambda: self.path(in_value))
        else:
            raise _InvalidError
        self.depth -= 1

    def _qualified(self, as_trait: bool) -> None:
        self._print("<")
        self._type()
        if as_trait:
            self._print(" as ")
            self.path(in_value=False)
        self._print(">")

    def _nested(self, in_value: bool) -> None:
        namespace = self._next()
        self.path(in_value)
        disambiguator = self._disambiguator()
        name = self._identifier()
        if namespace.isupper():
            kind = {"C": "closure", "S": "shim"}.get(namespace, namespace)
            self._print(f"::{{{kind}{':' if name else ''}{name}#{disambiguator}}}")
        elif name:
            self._print("::" + name)

    def _type(self) -> None:
        self._deeper()
        tag = self._next()
        if tag in _BASIC:
            self._print(_BASIC[tag])
        elif tag in "RQ":
            self._reference(tag)
        elif tag in "PO":
            self._print("*const " if tag == "P" else "*mut ")
            self._type()
        elif tag in "AS":
            self._print("[")
            self._type()
            if tag == "A":
                self._print("; ")
                self._constant()
            self._print("]")
        elif tag == "T":
            self._print("(")
            count = self._separated(self._type)
            self._print(",)" if count == 1 else ")")
        elif tag == "F":
            self._bound(self._function)
        elif tag == "D":
            self._print("dyn ")
            self._bound(lambda: self._separated(self._dyn_trait, " + "))
            if self._next() != "L":
                raise _InvalidError
            lifetime = self._base62()
            if lifetime:
                self._print(" + ")
                self._lifetime(lifetime)
        elif tag == "B":
            self._backreference(self._type)
        else:
            self.position -= 1
            self.path(in_value=False)
        self.depth -= 1

    def _reference(self, tag: str) -> None:
        self._print("&")
        if self._eat("L"):
            lifetime = self._base62()
            if lifetime:
                self._lifetime(lifetime)
                self._print(" ")
        if tag == "Q":
            self._print("mut ")
        self._type()

    def _function(self) -> None:
        if self._eat("U"):
            self._print("unsafe ")
        if self._eat("K"):
            abi = "C" if self._eat("C") else self._identifier().replace("_", "-")
            self._print(f'extern "{abi}" ')
        self._print("fn(")
        self._separated(self._type)
        self._print(")")
        if not self._eat("u"):
            self._print(" -> ")
            self._type()

    def _dyn_trait(self) -> None:
        is_open = self._open_path()
        while self._eat("p"):
            self._print(", " if is_open else "<")
            is_open = True
            self._print(self._identifier() + " = ")
            self._type()
        if is_open:
            self._print(">")

    def _open_path(self) -> bool:
        """Print a path. Returns True if it has generic arguments: their ">" is left out, for associated types."""
        if self._eat("B"):
            result = []
            self._backreference(lambda: result.append(self._open_path()))
            return bool(result and result[0])
        if self._eat("I"):
            self.path(in_value=False)
            self._print("<")
            self._separated(self._generic_argument)
            return True
        self.path(in_value=False)
        return False

    def _generic_argument(self) -> None:
        if self._eat("L"):
            self._lifetime(self._base62())
        elif self._eat("K"):
            self._constant()
        else:
            self._type()

    def _constant(self) -> None:
        self._deeper()
        tag = self._next()
        if tag == "p":
            self._print("_")
        elif tag == "B":
            self._backreference(self._constant)
        elif tag in _BASIC:
            negative = self._eat("n")
            digits = self.text[self.position : self.text.index("_", self.position)]
            self.position += len(digits) + 1
            value = int(digits, 16) if digits else 0
            if tag == "b":
                self._print("true" if value else "false")
            elif tag == "c":
                self._print(f"'{chr(value)}'")
            else:
                self._print(f"{'-' if negative else ''}{value}")
        else:
            raise _InvalidError
        self.depth -= 1

    def _bound(self, body: Callable[[], object]) -> None:
        count = self._base62() + 1 if self._eat("G") else 0
        if count > _MAX_DEPTH:
            raise _InvalidError
        if count:
            self._print("for<")
            for index in range(count):
                self.lifetimes += 1
                self._print(", " if index else "")
                self._lifetime(1)
            self._print("> ")
        body()
        self.lifetimes -= count

    def _lifetime(self, index: int) -> None:
        if index == 0:
            self._print("'_")
            return
        depth = self.lifetimes - index
        if depth < 0:
            raise _InvalidError
        self._print("'" + (chr(ord("a") + depth) if depth < 26 else f"_{depth}"))

    def _separated(self, item: Callable[[], object], separator: str = ", ") -> int:
        count = 0
        while not self._eat("E"):
            if count:
                self._print(separator)
            item()
            count += 1
        return count

    def _backreference(self, body: Callable[[], object]) -> None:
        start = self.position - 1
        target = self._base62()
        if target >= start:
            raise _InvalidError
        if not self.silent:
            back, self.position = self.position, target
            body()
            self.position = back

    def _identifier(self) -> str:
        punycode = self._eat("u")
        digits = 1
        # A decimal number has no leading zero, so "0" is complete. "00" means two empty names.
        if self.text[self.position] != "0":
            while self.text[self.position + digits : self.position + digits + 1].isdigit():
                digits += 1
        length = int(self.text[self.position : self.position + digits])
        self.position += digits
        self._eat("_")
        name = self.text[self.position : self.position + length]
        if len(name) != length:
            raise _InvalidError
        self.position += length
        return _unpunycode(name) if punycode else name

    def _disambiguator(self) -> int:
        return self._base62() + 1 if self._eat("s") else 0

    def _base62(self) -> int:
        if self._eat("_"):
            return 0
        value = 0
        while not self._eat("_"):
            digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".index(self._next())
            value = value * 62 + digit
        return value + 1

    def _next(self) -> str:
        self.position += 1
        return self.text[self.position - 1]

    def _eat(self, letter: str) -> bool:
        if self.text.startswith(letter, self.position):
            self.position += 1
            return True
        return False

    def _print(self, text: str) -> None:
        if self.silent:
            return
        self.size += len(text)
        if self.size > _MAX_LENGTH:
            raise _InvalidError
        self.out.append(text)

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise _InvalidError


def _unpunycode(name: str) -> str:
    """Decode Rust's variant of punycode (RFC 3492), which has "_" in place of "-"."""
    head, separator, tail = name.rpartition("_")
    return ((head + "-" if separator else "") + tail).encode("ascii").decode("punycode")
