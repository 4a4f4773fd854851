"""An invented language. Its virtual machine is a C program that runs generated code in anonymous memory."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Optional

from tracer.machine import registers as arch
from tracer.model.frame import Frame
from tracer.stacks.chain import Cursor, Memory, Step
from tracer.stacks.elf.facts import ElfFacts
from tracer.stacks.language import Language, Runtime, Target
from tracer.stacks.target.process import Process

PROGRAM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((section(".invented"), used)) static const char mark[] = "1";
static int blocked(void) { char c; puts("ready"); fflush(stdout); return read(0, &c, 1) + 1; }
__attribute__((noinline)) int _I_shop_Boot_main(unsigned char *code) {
    int (*run)(void *, void *, void *, void *) = (void *)(code + 96);
    return run(blocked, code, code + 32, code + 64) + 1;
}
int main(void) {
    /* Each function calls the next by an argument: push rbp; mov rbp, rsp; push r12; push rax; call rdi/rsi/rdx/rcx. */
    static const unsigned char head[] = {0x55, 0x48, 0x89, 0xe5, 0x41, 0x54, 0x50, 0xff};
    static const unsigned char calls[] = {0xd7, 0xd6, 0xd2, 0xd1}, end[] = {0x58, 0x41, 0x5c, 0x5d, 0xc3};
    static const char names[] = "httpkit/Client.get shop/Cart.load vm/Loop.tick vm/Loop.run ";
    unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++) {
        memcpy(code + 32 * i, head, sizeof head);
        code[32 * i + sizeof head] = calls[i];
        memcpy(code + 32 * i + sizeof head + 1, end, sizeof end);
    }
    memcpy(code + 2048, names, sizeof names);
    return _I_shop_Boot_main(code) + 1;
}
"""


class Machine:
    """Unwinds the code that the virtual machine generated: 32 bytes for each function, names from offset 2048 on."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        code = self._process.mapping(cursor.lookup)
        if code is None or code.path or not code.executable:
            return None
        names = memory.read(code.start + 2048, 256).split(b"\0")[0].decode().split()
        function = names[(cursor.lookup - code.start) // 32]
        registers: list[Optional[int]] = list(cursor.registers)
        registers[12] = memory.stack_word(cursor.sp + 8, 8)
        registers[arch.RBP] = memory.stack_word(cursor.sp + 16, 8)
        registers[arch.RETURN_ADDRESS] = memory.stack_word(cursor.sp + 24, 8)
        registers[arch.RSP] = cursor.sp + 32
        frame = Frame(function, None, language="invented", internal=function.startswith("vm/"), pc=cursor.pc)
        return Step((frame,), replace(cursor, registers=tuple(registers)))


def _attach(target: Target) -> Optional[Runtime]:
    if not any(os.path.basename(mapping.path) == "inventvm" for mapping in target.process.mappings):
        return None
    return Runtime(Machine(target.process))


def _demangle(symbol: str) -> Optional[str]:
    return symbol[3:].replace("_", "/", 1).replace("_", ".") if symbol.startswith("_I_") else None


def _owns(facts: ElfFacts, function: Optional[str]) -> bool:
    return b".invented" in facts.sections and function is not None and "/" in function


LANGUAGE = Language(
    "invented",
    attach=_attach,
    demangle=_demangle,
    owns=_owns,
    runtime_function=lambda function, _facts: function == "blocked",
    starts_stack=lambda function: function == "shop/Boot.main",
    title="the invented machine",
    package=lambda frame: "httpkit" if (frame.function or "").startswith("httpkit/") else "",
    short_name=lambda name: name.rpartition("/")[2],
    ends_tell=True,
)
