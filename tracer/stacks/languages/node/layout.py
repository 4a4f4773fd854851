"""Where V8 keeps what in its objects: offsets and type numbers of one build.

Node.js exports most of them for debuggers (``v8dbg_*``, written by V8's tools/gen-postmortem-metadata.py). What is not
exported is in the tables below, by V8's version: a build whose version is not there has names, but fewer lines.
Offsets count from the object's first byte, which is one less than the tagged pointer to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional

from tracer.stacks.languages.node.bytecodes import SIZES
from tracer.stacks.target.dynsym import LoadedObject
from tracer.stacks.target.reader import Reader

_EXITS = ("Exit", "BuiltinExit", "ApiCallbackExit", "ApiAccessorExit")
_SETS_FRAME_POINTER = b"\x48\x89\xe5"
"""mov %rsp, %rbp, near the start of a function."""
_CPP_FUNCTIONS = ("_ZN4node5StartEiPPc", "_ZN2v88internal7Isolate3NewEv", "_ZN2v87Isolate3NewERKNS0_12CreateParamsE")
_FUNCTION_TYPES = 15
"""JSFunction and its subclasses, where the last one is not exported."""
_VERSION = "_ZN2v88internal7Version{}_E"
_BYTECODE_SIZES = "_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE"


class NotV8(Exception):
    """The build does not export what is needed. The text names it."""


@dataclass(frozen=True)
class Frames:
    """Offsets from the frame pointer of a JavaScript frame (src/execution/frame-constants.h)."""

    function: int
    context: int
    bytecode_array: int
    bytecode_offset: int


@dataclass(frozen=True)
class Types:
    """Instance types (src/objects/instance-type.h). ``stream``: the object that holds instructions."""

    shared: int
    scope_info: int
    script: int
    bytecode_array: int
    interpreter_data: int
    code: int
    stream: int
    wrapper: Optional[int]
    """What holds a SharedFunctionInfo for the trusted space, where there is such a thing."""
    fixed_arrays: tuple[int, ...]
    byte_arrays: tuple[int, ...]
    functions: range


@dataclass(frozen=True)
class CodeLayout:
    """A Code object. ``start`` is the address of the first instruction, or its offset where ``start_is_inside``."""

    start: int
    start_is_inside: bool
    size: int
    flags: int
    deopt: int
    """Deoptimization data; in baseline code the bytecode array or interpreter data."""
    positions: int
    """Source positions; in baseline code the table of bytecode offsets."""
    stream_code: int
    """In the object that holds the instructions: its Code object."""
    baseline: int
    """The kind of baseline code (CodeKind). Kinds after it are optimised code."""
    inlined_count: int
    """This and the following: which item of the deoptimization data it is (src/objects/deoptimization-data.h)."""
    literals: int
    own_shared: int
    inlining_positions: int


@dataclass(frozen=True)
class Layout:
    """One build of V8. ``positions`` is 0, ``code`` None where the version is not in the tables."""

    version: tuple[int, int]
    keeps_frame_pointers: bool
    """Whether its C++ code keeps frame pointers. Generated code always does."""
    exits: tuple[int, ...]
    """The types of the frames by which generated code calls C++."""
    frames: Frames
    types: Types
    shared: int
    """JSFunction: its SharedFunctionInfo."""
    function_data: int
    name_or_scope_info: int
    script: int
    first_vars: int
    """Of a ScopeInfo: which slot is the first one of its local variables. Slots count from the first after the map."""
    bytecodes: int
    """Of a bytecode array: its first bytecode."""
    positions: int
    """Of a bytecode array: its table of source positions."""
    code: Optional[CodeLayout]
    bytecode_sizes: bytes
    """How long each bytecode is, for the three operand scales one after the other; empty where it is not exported."""


# By V8's version: source positions of a bytecode array, then Code without what is exported.
_POSITIONS = {(10, 2): 32, (11, 3): 32, (12, 4): 24, (13, 6): 24}
_CODE = {
    (10, 2): CodeLayout(128, True, 40, 48, 16, 24, 0, 0, 1, 2, 6, 7),
    (11, 3): CodeLayout(40, False, 56, 48, 16, 24, 8, 0, 1, 2, 6, 7),
    (12, 4): CodeLayout(40, False, 52, 48, 8, 16, 8, 0, 1, 2, 6, 7),
    (13, 6): CodeLayout(40, False, 56, 52, 8, 16, 8, 0, 1, 3, 7, 8),
}
"""In the order of CodeLayout's fields."""
_FIXED_ARRAYS = (
    "FixedArray__FIXED_ARRAY_TYPE",
    "TrustedFixedArray__TRUSTED_FIXED_ARRAY_TYPE",
    "ProtectedFixedArray__PROTECTED_FIXED_ARRAY_TYPE",
    "WeakFixedArray__WEAK_FIXED_ARRAY_TYPE",
    "TrustedWeakFixedArray__TRUSTED_WEAK_FIXED_ARRAY_TYPE",
)
_BYTE_ARRAYS = ("ByteArray__BYTE_ARRAY_TYPE", "TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE")
_SHARED_NAME = (
    "class_SharedFunctionInfo__name_or_scope_info__Object",
    "class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
    "class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_",
)
_SHARED_SCRIPT = (
    "class_SharedFunctionInfo__script__Tagged_HeapObject_",
    "class_SharedFunctionInfo__script_or_debug_info__HeapObject",
)


class _Exports:
    def __init__(self, reader: Reader, library: LoadedObject) -> None:
        self._reader, self._library = reader, library

    def find(self, *names: str) -> Optional[int]:
        """The value of the first of ``names`` that is exported."""
        for name in names:
            address = self._library.symbol(f"v8dbg_{name}")
            if address is not None:
                return self._reader.signed(address, 4)
        return None

    def need(self, *names: str) -> int:
        """The same. Raises NotV8."""
        value = self.find(*names)
        if value is None:
            raise NotV8(names[0])
        return value

    def version(self) -> tuple[int, int]:
        """Major and minor version of V8; zeros where they are not exported."""
        found = []
        for name in ("6major", "6minor"):
            address = self._library.symbol(_VERSION.format(name))
            found.append(self._reader.signed(address, 4) if address is not None else 0)
        return found[0], found[1]


def read_layout(reader: Reader, library: LoadedObject) -> Optional[Layout]:
    """The layout of the V8 in ``library``; None if there is no V8 in it.

    Raises NotV8, MemoryUnreadable, and Nonsense for what is no ELF file.
    """
    exports = _Exports(reader, library)
    shared = exports.find("class_JSFunction__shared__SharedFunctionInfo")
    if shared is None:
        return None
    version = exports.version()
    name = exports.need(*_SHARED_NAME)
    layout = Layout(
        version=version,
        keeps_frame_pointers=_keeps_frame_pointers(reader, library),
        exits=tuple(kind for name in _EXITS if (kind := exports.find(f"frametype_{name}Frame")) is not None),
        frames=Frames(
            exports.need("off_fp_function"),
            exports.need("off_fp_context"),
            exports.need("off_fp_bytecode_array"),
            exports.need("off_fp_bytecode_offset"),
        ),
        types=_types(exports),
        shared=shared,
        function_data=exports.find("class_SharedFunctionInfo__function_data__Object") or 8,
        name_or_scope_info=name,
        script=exports.need(*_SHARED_SCRIPT),
        first_vars=exports.need("scopeinfo_idx_first_vars"),
        bytecodes=exports.need("class_BytecodeArray__data__uintptr_t"),
        positions=_POSITIONS.get(version, 0),
        code=_code(exports, version),
        bytecode_sizes=_bytecode_sizes(reader, library) or SIZES.get(version, b""),
    )
    _check(exports)
    return layout


def _keeps_frame_pointers(reader: Reader, library: LoadedObject) -> bool:
    addresses = [address for name in _CPP_FUNCTIONS if (address := library.symbol(name)) is not None]
    return bool(addresses) and all(_SETS_FRAME_POINTER in reader.read(address, 16) for address in addresses)


def _bytecode_sizes(reader: Reader, library: LoadedObject) -> bytes:
    found = library.sized_symbol(_BYTECODE_SIZES)
    return reader.read(*found) if found is not None and found[1] <= 3 * 256 else b""


def _types(exports: _Exports) -> Types:
    functions = exports.find("FirstJSFunctionType", "type_JSFunction__JS_FUNCTION_TYPE")
    if functions is None:
        raise NotV8("type_JSFunction__JS_FUNCTION_TYPE")
    last = exports.find("LastJSFunctionType")
    arrays = (exports.find(f"type_{name}") for name in _FIXED_ARRAYS)
    bytes_of = (exports.find(f"type_{name}") for name in _BYTE_ARRAYS)
    code = exports.need("type_Code__CODE_TYPE")
    return Types(
        shared=exports.need("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE"),
        scope_info=exports.need("type_ScopeInfo__SCOPE_INFO_TYPE"),
        script=exports.need("type_Script__SCRIPT_TYPE"),
        bytecode_array=exports.need("type_BytecodeArray__BYTECODE_ARRAY_TYPE"),
        interpreter_data=exports.need("type_InterpreterData__INTERPRETER_DATA_TYPE"),
        code=code,
        stream=exports.find("type_InstructionStream__INSTRUCTION_STREAM_TYPE") or code,
        wrapper=exports.find("type_SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE"),
        fixed_arrays=tuple(value for value in arrays if value is not None),
        byte_arrays=tuple(value for value in bytes_of if value is not None),
        functions=range(functions, (last if last is not None else functions + _FUNCTION_TYPES - 1) + 1),
    )


def _code(exports: _Exports, version: tuple[int, int]) -> Optional[CodeLayout]:
    """Code objects: the versions differ in so much that only those in the table are read."""
    known = _CODE.get(version)
    baseline = exports.find("CodeKindBaseline")
    return replace(known, baseline=baseline) if known is not None and baseline is not None else None


def _check(exports: _Exports) -> None:
    """What this package takes for granted. Raises NotV8."""
    expected = {
        "HeapObjectTag": 1,
        "TaggedSize": 8,
        "SmiValueShift": 1,
        "SmiShiftSize": 31,
        "class_Map__instance_type__uint16_t": 12,
    }
    strings = {"String__length__int32_t": 12, "SeqOneByteString__chars__char": 16, "ConsString__first__String": 16}
    expected.update({f"class_{name}": value for name, value in strings.items()})
    for name, value in expected.items():
        if exports.find(name) not in (value, None):
            raise NotV8(f"{name} = {value}")
