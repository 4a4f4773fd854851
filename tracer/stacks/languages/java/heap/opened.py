"""The heap of one JVM, opened: everything that is read of it, by one name each."""

from __future__ import annotations

from tracer.stacks.languages.java.heap import policy
from tracer.stacks.languages.java.heap.chain import Verifier
from tracer.stacks.languages.java.heap.classes import Classes
from tracer.stacks.languages.java.heap.content import Content
from tracer.stacks.languages.java.heap.fieldnames import FieldNames
from tracer.stacks.languages.java.heap.memory import Memory
from tracer.stacks.languages.java.heap.objects import Objects
from tracer.stacks.languages.java.heap.oops import read_oops
from tracer.stacks.languages.java.heap.roots import Roots
from tracer.stacks.languages.java.heap.sockets import Sockets
from tracer.stacks.languages.java.heap.spaces import Spaces, collector
from tracer.stacks.languages.java.heap.vm import NoHeap, Vm
from tracer.stacks.target.reader import Source


class Heap:
    """Raises NoHeap, MissingTables, MemoryUnreadable and Nonsense."""

    def __init__(self, source: Source, libjvm_start: int, memory: Memory) -> None:
        vm = Vm(source, libjvm_start)
        flags = vm.flags()
        self.collector = collector(flags)
        self.vm, self.memory, self.reader = vm, memory, vm.reader
        self.spaces = Spaces(vm, self.collector)
        self.oops = read_oops(vm, flags)
        self.classes = Classes(vm, self.oops)
        self.names = FieldNames(vm, self.classes)
        self.objects = Objects(vm.reader, self.oops, self.classes, self.names)
        self.roots = Roots(vm, self.classes, self.names, self.objects)
        self.sockets = Sockets(self.objects, self.classes)
        self.verifier = Verifier(vm.reader, self.oops, self.spaces)
        self.content = Content(self.oops, self.classes.by_address.values())
        memory.check()
        self.content.use([policy.followed(klass, self.classes, self.names) for klass in self.content.classes])
        descriptor = self.classes.named(policy.DESCRIPTOR)
        if not descriptor:
            raise NoHeap("it has opened no file or socket yet")
        self.descriptor = descriptor[0]
        self.mirror_class = self.classes.named(policy.MIRROR)[0]
