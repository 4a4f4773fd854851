"""Erlang and Elixir on BEAM, with the names in its perf map (``erl +JPperf true``).

A scheduler thread of the virtual machine makes the calls of ``gen_tcp``. The Erlang process that owns the socket runs
on a stack of its own in the heap. So a perf map names code of the virtual machine, and not who called ``gen_tcp``.
"""

from __future__ import annotations

import re
from typing import Optional

from tracer.stacks.language import Language, Symbol
from tracer.stacks.lasting import replaced
from tracer.stacks.silent import Silent, described

_NAME = "erlang"
# erts/emulator/beam/jit: code of the machine, code between functions, functions.
_SYMBOL = re.compile(r"\$(?:global::(\S+)|([^\s:]+)::\S+|([^\s:]+|'[^']+'):(\S+?)(-CodeInfoPrologue)?)$")
_STANDARD = re.compile(
    r"erts_\w+|erlang|erl_\w+|prim_\w+|init|kernel|application\w*|inet\w*|gen|gen_\w+|proc_lib|sys|supervisor\w*"
    r"|socket\w*|ssl\w*|tls_\w+|dtls_\w+|httpc\w*|http_\w+|net_\w+|global\w*|code\w*|file\w*|io\w*|lists|maps|ets|timer|rpc"
    r"|logger\w*|user\w*|group|error_\w+|shell\w*|Elixir\.(?:Kernel|Enum|GenServer|Task|Supervisor|Agent|Process)[.\w]*"
)
_BEAM = Silent(
    "Erlang",
    files=re.compile(r"beam(?:\.smp)?|beam\.\w+(?:\.smp)?"),
    unnamed="Erlang's schedulers make the calls, so no Erlang function is on this stack: inet:i() in its shell gives"
    " each socket's owner",
    extensions=re.compile(r"/lib/\w+(?:-[\d.]+)?/priv/(?:lib/)?[^/]+\.so$"),
)


def _read_symbol(symbol: str) -> Optional[Symbol]:
    match = _SYMBOL.match(symbol)
    if match is None:
        return None
    machine, header, module, function, _ = match.groups()
    if machine or header:
        return Symbol(symbol, "native", internal=True)
    return Symbol(f"{module}:{function}", _NAME, internal=_STANDARD.fullmatch(module) is not None)


_lasting_name = replaced((r"(-(?:fun|lc\$\^\d+|lbc\$\^\d+))-\d+(-|$)", r"\1\2"))  # -load/1-fun-0-


LANGUAGE = described(Language(_NAME, read_symbol=_read_symbol, title=_BEAM.title, lasting_name=_lasting_name), _BEAM)
