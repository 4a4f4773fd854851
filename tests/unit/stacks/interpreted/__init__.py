"""Another invented language: an interpreter in C. Its own frames are in a linked list outside of the stack.

Each loop of the interpreter has an entry on the machine's stack. The address of the entry gives its frames their place.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Optional

from tracer.model.frame import BlackBox, Frame
from tracer.stacks.chain import Cursor, Memory, Step
from tracer.stacks.language import Language, Runtime, Target

HEAD = 0x7E0000000000
PROGRAM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
struct entry { struct entry *previous; char names[40]; };
static struct entry **head = (void *)0x7e0000000000;
__attribute__((noinline)) int sorted(void);
__attribute__((noinline)) int loop(const char *names, int (*next)(void)) {
    struct entry entry = {*head, ""};
    snprintf(entry.names, sizeof entry.names, "%s", names);
    *head = &entry;
    return next() + 1;
}
__attribute__((noinline)) int blocked(void) { char c; puts("ready"); fflush(stdout); return read(0, &c, 1) + 1; }
__attribute__((noinline)) int sorted(void) { return loop("key by_price", blocked) + 1; }
int main(void) {
    mmap(head, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    return loop("cheapest handle main", sorted) + 1;
}
"""


class Interpreter:
    """Replaces each loop of the interpreter by the frames that it runs. The link for compiled code makes the steps.

    The list is read from the process, which is blocked. A real runtime would need a copy from the time of the touch.
    """

    def __init__(self, target: Target) -> None:
        self._process, self._native = target.process, target.native
        self._entries: dict[int, tuple[Frame, ...]] = {}

    def begin(self, _box: BlackBox) -> None:
        self._entries.clear()
        address = int.from_bytes(self._process.read(HEAD, 8), "little")
        while address:
            names = self._process.read(address + 8, 40).split(b"\0")[0].decode().split()
            self._entries[address] = tuple(Frame(name, None, language="interpreted") for name in names)
            address = int.from_bytes(self._process.read(address, 8), "little")

    def step(self, cursor: Cursor, memory: Memory) -> Optional[Step]:
        step = self._native.step(cursor, memory)
        if step is None or step.caller is None:
            return step
        own = [frames for address, frames in self._entries.items() if cursor.sp <= address < step.caller.sp]
        return replace(step, frames=own[0]) if own else step


def _attach(target: Target) -> Optional[Runtime]:
    if not any(os.path.basename(mapping.path) == "interpreter" for mapping in target.process.mappings):
        return None
    interpreter = Interpreter(target)
    return Runtime(interpreter, begin=interpreter.begin)


LANGUAGE = Language("interpreted", attach=_attach)
