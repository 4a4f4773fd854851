"""A typical tracer written with bcc: every transition and every touch goes to Python, each with a stack id.

It is the baseline of the benchmark. It prints transitions as ``tail`` does, and keeps the stack id of each socket's
last touch. It compiles with closetrace's own headers, because the machine may have no kernel headers.
``python -m tests.benchmarks.naive [PID] [--transitions] [--kprobes]``: only this process, only transitions, kprobes for
touches.
"""

from __future__ import annotations

import ctypes as ct
import json
import os
import signal
import socket
import struct
import sys
from typing import Any

from tracer.kernel.btf import Btf
from tracer.kernel.headers import header_tree

TEXT = r"""
#define BPF_F_USER_STACK 256
struct event { u64 ns; u64 sk; u32 pid; u32 tid; s32 ret; s32 stack; u32 laddr; u32 raddr; u16 lport; u16 rport;
               u8 kind; u8 old; u8 new; u8 pad; char comm[16]; };
BPF_RINGBUF_OUTPUT(events, 1024);
BPF_STACK_TRACE(stacks, 16384);
BPF_ARRAY(lost, u64, 2);

static __always_inline int emit(void *ctx, struct sock *sk, u8 kind, s32 ret, u8 old, u8 new)
{
    u32 zero = 0, one = 1;
    u64 *count = lost.lookup(&one);
    if (PID_FILTER)
        return 0;
    if (count)
        __sync_fetch_and_add(count, 1);
    struct event *e = events.ringbuf_reserve(sizeof(struct event));
    if (!e) {
        count = lost.lookup(&zero);
        if (count)
            __sync_fetch_and_add(count, 1);
        return 0;
    }
    e->ns = bpf_ktime_get_ns();
    e->sk = (u64)sk;
    e->pid = bpf_get_current_pid_tgid() >> 32;
    e->tid = bpf_get_current_pid_tgid();
    e->ret = ret;
    e->kind = kind;
    e->old = old;
    e->new = new;
    e->pad = 0;
    bpf_probe_read_kernel(&e->laddr, 4, &sk->__sk_common.skc_rcv_saddr);
    bpf_probe_read_kernel(&e->raddr, 4, &sk->__sk_common.skc_daddr);
    bpf_probe_read_kernel(&e->lport, 2, &sk->__sk_common.skc_num);
    bpf_probe_read_kernel(&e->rport, 2, &sk->__sk_common.skc_dport);
    bpf_get_current_comm(e->comm, sizeof(e->comm));
    e->stack = WITH_STACKS ? stacks.get_stackid(ctx, BPF_F_USER_STACK) : -1;
    events.ringbuf_submit(e, 0);
    return 0;
}
RAW_TRACEPOINT_PROBE(inet_sock_set_state)
{
    return emit(ctx, (struct sock *)ctx->args[0], 0, 0, ctx->args[1], ctx->args[2]);
}
#if WITH_TOUCHES && WITH_KPROBES
int kprobe__tcp_recvmsg(struct pt_regs *ctx) { return emit(ctx, (struct sock *)PT_REGS_PARM1(ctx), 1, 0, 0, 0); }
int kprobe__tcp_sendmsg(struct pt_regs *ctx) { return emit(ctx, (struct sock *)PT_REGS_PARM1(ctx), 2, 0, 0, 0); }
#elif WITH_TOUCHES
RAW_TRACEPOINT_PROBE(sock_recv_length) { return emit(ctx, (struct sock *)ctx->args[0], 1, ctx->args[1], 0, 0); }
RAW_TRACEPOINT_PROBE(sock_send_length) { return emit(ctx, (struct sock *)ctx->args[0], 2, ctx->args[1], 0, 0); }
#endif
"""


class Event(ct.Structure):
    _fields_ = [
        ("ns", ct.c_uint64),
        ("sk", ct.c_uint64),
        ("pid", ct.c_uint32),
        ("tid", ct.c_uint32),
        ("ret", ct.c_int32),
        ("stack", ct.c_int32),
        ("laddr", ct.c_uint32),
        ("raddr", ct.c_uint32),
        ("lport", ct.c_uint16),
        ("rport", ct.c_uint16),
        ("kind", ct.c_uint8),
        ("old", ct.c_uint8),
        ("new", ct.c_uint8),
        ("pad", ct.c_uint8),
        ("comm", ct.c_char * 16),
    ]


def _address(word: int) -> str:
    return socket.inet_ntoa(struct.pack("<I", word))


def main() -> None:
    transitions_only = "--transitions" in sys.argv
    pid = next((a for a in sys.argv[1:] if a.isdigit()), None)
    import bcc

    Btf().close()  # a typical tracer has no cache: it reads the types at each start
    tree, _ = header_tree()
    os.environ["BCC_KERNEL_SOURCE"] = str(tree)
    os.chdir(tree)
    text = TEXT.replace("PID_FILTER", f"bpf_get_current_pid_tgid() >> 32 != {pid}" if pid else "0")
    text = text.replace("WITH_STACKS", "0" if transitions_only else "1")
    text = text.replace("WITH_TOUCHES", "0" if transitions_only else "1")
    text = text.replace("WITH_KPROBES", "1" if "--kprobes" in sys.argv else "0")
    bpf = bcc.BPF(text=text, cflags=["-w"])
    last: dict[int, int] = {}
    shown = [0, 0]

    def handle(_context: Any, data: int, _size: int) -> None:
        event = ct.cast(data, ct.POINTER(Event)).contents
        shown[0] += 1
        if event.kind:
            last[event.sk] = event.stack
            return
        shown[1] += 1
        print(
            f"{event.ns / 1e9:.6f} {event.pid:7} {event.comm.decode(errors='replace'):16} "
            f"{_address(event.laddr)}:{event.lport} {_address(event.raddr)}:{socket.ntohs(event.rport)} "
            f"{event.old} -> {event.new}"
        )

    bpf["events"].open_ring_buffer(handle)
    over: list[int] = []
    signal.signal(signal.SIGINT, lambda *_: over.append(1))
    print("attached", file=sys.stderr, flush=True)
    while not over:
        bpf.ring_buffer_poll(100)
    bpf.ring_buffer_consume()
    counts = {"shown": shown[0], "lost": bpf["lost"][0].value, "produced": bpf["lost"][1].value, "printed": shown[1]}
    print(json.dumps(counts), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
