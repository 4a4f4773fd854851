"""C# and other .NET languages on CoreCLR and Mono, with the names in their perf maps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from tracer.stacks.language import Language, Part, Runtime, Symbol, Target
from tracer.stacks.lasting import replaced
from tracer.stacks.silent import Silent, described, runtime_of

if TYPE_CHECKING:
    from tracer.model.frame import Frame

_NAME = "dotnet"
_ASSEMBLIES = r"(?:System|Microsoft|Mono|I18N)(?:\.[\w.-]+)?|mscorlib|netstandard|WindowsBase"
_CORECLR = Silent(
    ".NET",
    files=re.compile(
        r"dotnet|lib(?:coreclr|clrjit|clrgc|hostfxr|hostpolicy|coreclrtraceptprovider|mscordbi|mscordaccore)\.so"
        rf"|(?:lib)?System\.[\w.]+\.so|(?:{_ASSEMBLIES})\.dll"
    ),
    unnamed=".NET functions run here that have no names: DOTNET_PerfMapEnabled=1 in its environment (before .NET 6:"
    " COMPlus_PerfMapEnabled=1) gives them names",
)
_MONO = Silent(
    ".NET",
    files=re.compile(
        rf"mono(?:-sgen|-boehm)?|lib(?:monosgen|monoboehm|mono|Mono)\S*\.so[\d.]*|(?:{_ASSEMBLIES})\.(?:dll|exe)(?:\.so)?"
    ),
    unnamed=".NET functions run here that have no names: mono --jitmap gives them names, some time after they are"
    " compiled",
)
_STANDARD = re.compile(rf"{_ASSEMBLIES}")
_STUB = re.compile(
    r"stub(?:<\d+>)? |\(null\)$|(?:\w+_trampoline|(?:generic|rgctx_fetch)_trampoline\w*|delegate_invoke_\w+)$"
)
# "Shop.Cart:Load (string)", "(wrapper managed-to-native) System.IO.MonoIO:Read (intptr)" (mono_method_full_name).
_MONO_METHOD = re.compile(r"(\(wrapper [\w-]+\) )?([\w.<>`/$+\[\],]+):([\w.<>`$]+) \(.*\)$")
_ASYNC = re.compile(r"(.+)[/+]<(\w+)>d__\d+$")
_LOOP = re.compile(r"System\.Threading\.(?:ThreadPoolWorkQueue\.Dispatch|PortableThreadPool)")
_PACKAGES = ("Npgsql", "StackExchange.Redis", "MySqlConnector", "MongoDB.Driver", "RabbitMQ.Client", "Grpc.Net.Client")


def _attach(target: Target) -> Optional[Runtime]:
    """Recognise CoreCLR and Mono. Code that they compiled has their line; their own frames have none."""
    found = runtime_of((_CORECLR, _MONO), target)
    if found is None:
        return None
    from tracer.stacks.languages.dotnet.apphost import Host

    host = Host.of(target)
    return Runtime(unwinder=host, unnamed=found.unnamed)


def _clr_method(symbol: str) -> Optional[tuple[str, str, str]]:
    """The assembly, type and method of ``int32 [shop] Shop.Cart::Load(string)[Tier0]`` (src/coreclr/vm/perfmap.cpp).

    The types of results and parameters are like ``class [System.Net.Http]System.Net.Http.HttpClient``.
    """
    colons = symbol.find("::")
    end = symbol.rfind("] ", 0, colons)
    begin = symbol.rfind("[", 0, end)
    after = symbol.find("(", colons)
    if not 0 <= begin < end < colons < after:
        return None
    return symbol[begin + 1 : end], symbol[end + 2 : colons], symbol[colons + 2 : after]


def _function(kind: str, method: str) -> str:
    """``Shop.Cart.Load``. Of an asynchronous method the compiler makes a class, whose name has the method's."""
    match = _ASYNC.match(kind)
    if match is not None and method == "MoveNext":
        return f"{match.group(1)}.{match.group(2)}"
    return f"{kind}.{method}"


def _read_symbol(symbol: str) -> Optional[Symbol]:
    found = _clr_method(symbol)
    if found is not None:
        assembly, kind, method = found
        internal = _STANDARD.fullmatch(assembly) is not None or kind == "dynamicClass"
        return Symbol(_function(kind, method), _NAME, internal=internal)
    if _STUB.match(symbol):
        return Symbol(symbol, _NAME, internal=True)
    match = _MONO_METHOD.match(symbol)
    if match is None:
        return None
    wrapper, kind, method = match.groups()
    internal = bool(wrapper) or _STANDARD.match(kind) is not None
    return Symbol(_function(kind, method), _NAME, internal=internal)


def _package(frame: Frame) -> str:
    if frame.language != _NAME or frame.internal:
        return ""
    name = frame.function or ""
    return next((package for package in _PACKAGES if name.startswith(f"{package}.")), "")


def _part(frame: Frame) -> Part:
    return Part.LOOP if frame.language == _NAME and _LOOP.match(frame.function or "") else Part.OTHER


def _short_name(name: str) -> str:
    return ".".join(name.split(".")[-2:])


_lasting_name = replaced(
    (r"([bgd]__(?:\w+?\|)?)\d+(_\d+)*", r"\1"),  # <Load>b__0_1, <Load>g__Read|3_0, <Load>d__12
    (r"<>c__DisplayClass\d+(_\d+)*", "<>c__DisplayClass"),
    (r"\[(PreJIT|ReadyToRun|Tier\d\w*|Optimized\w*|MinOpt\w*|Instrumented\w*)\]$", ""),
)


_BASE = Language(
    _NAME,
    read_symbol=_read_symbol,
    title=_CORECLR.title,
    package=_package,
    part=_part,
    short_name=_short_name,
    lasting_name=_lasting_name,
    ends_tell=True,
)
LANGUAGE = described(_BASE, _CORECLR, _MONO, attach=_attach)
