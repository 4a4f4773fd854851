"""Names from traced processes, as a terminal or a line of text may show them."""

from __future__ import annotations


def clean(text: str) -> str:
    r"""``text`` with all that a terminal might obey (control, format and direction characters) as ``\x1b``, ``\u202e``.

    Python's notion of printable (str.isprintable) decides; undecodable bytes kept as surrogates are escaped too.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
