/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The entry points: one line each, several ways into one shared body per family. Which of them are compiled is the
 * attach plan's choice (tracer/kernel/plan.py), given as CT_WAY_* below; argument positions that drift between kernels
 * come from BTF as CT_ARG_*.
 */

#include "record.h"
#include "maps.h"
#include "task.h"
#include "interpreters.h"
#include "blackbox.h"
#include "table.h"
#include "sock.h"
#include "lifecycle.h"
#include "hooks/close.h"
#include "hooks/destroy.h"
#include "hooks/state.h"
#include "hooks/touch.h"
#include "hooks/open.h"
#include "hooks/reset.h"
#include "hooks/forks.h"
#include "hooks/exec.h"
#include "hooks/drain.h"

#define CT_ENTRY(name) int name(struct bpf_raw_tracepoint_args *ctx)
#define CT_ARG(type, n) ((type)ctx->args[n])
/* fentry and fexit: the arguments of the function, then (fexit) its result, as 64-bit words */
#define CT_TRAMPOLINE(way, function) int way##_##function(u64 *ctx)
#define CT_WORD(type, n) ((type)ctx[n])
/* As a plain number: the verifier takes a trampoline's arguments for typed pointers, which a key may not be made of. */
#define CT_SOCK(n) ((struct sock *)ct_word(ctx, n))
#define CT_KPROBE(name) int name(struct pt_regs *ctx)

static __always_inline u64 ct_word(u64 *ctx, u32 n)
{
	u64 word = 0;
	ct_read_kernel(&word, sizeof(word), ctx + n);
	return word;
}

/* state */
#ifdef CT_WAY_STATE_TP
CT_ENTRY(tp_state) { return ct_finish(ctx, ct_move(CT_ARG(u64, 0), CT_ARG(int, 1), CT_ARG(int, 2))); }
#endif
#ifdef CT_STATE_ELSEWHERE
CT_ENTRY(tp_state_rest) { return ct_state_rest(CT_ARG(u64, 0), CT_ARG(int, 1), CT_ARG(int, 2)); }
static __always_inline u64 ct_set_state(struct sock *sk, int new) { return ct_move((u64)sk, ct_state(sk), new); }
#endif
#ifdef CT_WAY_STATE_FENTRY
CT_TRAMPOLINE(fe, tcp_set_state) { return ct_finish(ctx, ct_set_state(CT_SOCK(0), CT_WORD(int, 1))); }
#endif
#ifdef CT_WAY_STATE_KPROBE
CT_KPROBE(kp_state) { return ct_finish(ctx, ct_set_state((struct sock *)PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx))); }
#endif

/* close */
#ifdef CT_WAY_CLOSE_FENTRY
CT_TRAMPOLINE(fe, tcp_close) { return ct_finish(ctx, ct_close(CT_SOCK(0))); }
#endif
#ifdef CT_WAY_CLOSE_KPROBE
CT_KPROBE(kp_close) { return ct_finish(ctx, ct_close((struct sock *)PT_REGS_PARM1(ctx))); }
#endif

/* shutdown */
#ifdef CT_WAY_SHUTDOWN_FENTRY
CT_TRAMPOLINE(fe, tcp_shutdown) { return ct_finish(ctx, ct_shutdown(CT_SOCK(0), CT_WORD(int, 1))); }
#endif
#ifdef CT_WAY_SHUTDOWN_KPROBE
CT_KPROBE(kp_shutdown) { return ct_finish(ctx, ct_shutdown((struct sock *)PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx))); }
#endif

/* receive and send */
#if defined(CT_WAY_RECEIVE_FENTRY) || defined(CT_WAY_SEND_FENTRY)
static __always_inline struct sock *ct_sk_of(struct socket *socket)
{
	struct sock *sk = 0;
	ct_read_kernel(&sk, sizeof(sk), &socket->sk);
	return sk;
}
#endif
#ifdef CT_WAY_RECEIVE_FENTRY
CT_TRAMPOLINE(fx, inet_recvmsg)
{
	return ct_finish(ctx, ct_recv(ct_sk_of(CT_WORD(struct socket *, 0)), CT_WORD(int, 4), CT_WORD(int, 3)));
}
CT_TRAMPOLINE(fx, inet6_recvmsg)
{
	return ct_finish(ctx, ct_recv(ct_sk_of(CT_WORD(struct socket *, 0)), CT_WORD(int, 4), CT_WORD(int, 3)));
}
#endif
#ifdef CT_WAY_SEND_FENTRY
CT_TRAMPOLINE(fx, inet_sendmsg)
{
	return ct_finish(ctx, ct_send(ct_sk_of(CT_WORD(struct socket *, 0)), CT_WORD(int, 3)));
}
CT_TRAMPOLINE(fx, inet6_sendmsg)
{
	return ct_finish(ctx, ct_send(ct_sk_of(CT_WORD(struct socket *, 0)), CT_WORD(int, 3)));
}
#endif
#ifdef CT_WAY_RECEIVE_TP
CT_ENTRY(tp_recv) { return ct_finish(ctx, ct_recv(CT_ARG(struct sock *, 0), CT_ARG(int, 1), CT_ARG(int, 2))); }
#endif
#ifdef CT_WAY_SEND_TP
CT_ENTRY(tp_send) { return ct_finish(ctx, ct_send(CT_ARG(struct sock *, 0), CT_ARG(int, 1))); }
#endif
#ifdef CT_WAY_RECEIVE_KPROBE
CT_KPROBE(kp_recv)
{
	u32 flags = PT_REGS_PARM4(ctx) & CT_MSG_PEEK ? CT_TOUCH_PEEK : 0;
	return ct_call_enter((struct socket *)PT_REGS_PARM1(ctx), CT_OP_RECV, flags);
}
CT_KPROBE(kr_recv) { return ct_finish(ctx, ct_call_return(CT_OP_RECV, PT_REGS_RC(ctx))); }
#endif
#ifdef CT_WAY_SEND_KPROBE
CT_KPROBE(kp_send) { return ct_call_enter((struct socket *)PT_REGS_PARM1(ctx), CT_OP_SEND, 0); }
CT_KPROBE(kr_send) { return ct_finish(ctx, ct_call_return(CT_OP_SEND, PT_REGS_RC(ctx))); }
#endif

/* open: accept */
#ifdef CT_WAY_OPEN_FENTRY
CT_TRAMPOLINE(fx, inet_csk_accept) { return ct_finish(ctx, ct_accepted(CT_SOCK(CT_ARG_ACCEPT_RESULT))); }
#endif
#ifdef CT_WAY_OPEN_KPROBE
CT_KPROBE(kr_accept) { return ct_finish(ctx, ct_accepted((struct sock *)PT_REGS_RC(ctx))); }
#endif

/* reset */
#ifdef CT_WAY_RESET_TP
CT_ENTRY(tp_reset_received) { return ct_reset(CT_ARG(struct sock *, 0), CT_TR_RESET_PEER); }
CT_ENTRY(tp_reset_sent) { return ct_reset(CT_ARG(struct sock *, 0), CT_TR_RESET_LOCAL); }
#endif

/* destroy */
#ifdef CT_WAY_DESTROY_TP
CT_ENTRY(tp_destroy) { return ct_destroy(CT_ARG(struct sock *, 0)); }
#endif
#ifdef CT_WAY_DESTROY_KPROBE
CT_KPROBE(kp_destroy) { return ct_destroy((struct sock *)PT_REGS_PARM1(ctx)); }
#endif

/* processes */
CT_ENTRY(tp_fork) { return ct_fork(CT_ARG(struct task_struct *, 0), CT_ARG(struct task_struct *, 1)); }
#if defined(CT_SCOPE_FORKS) || defined(CT_COMM_LOW)
CT_ENTRY(tp_exit) { return ct_exit(CT_ARG(struct task_struct *, 0)); }
#endif

/* which program a stack belongs to */
#ifdef CT_EXECS
CT_ENTRY(tp_exec) { return ct_execed(); }
#endif

/* run on request, attached to nothing */
CT_ENTRY(run_drain)
{
	return ct_drain(ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3], ctx->args[4], ctx->args[5]);
}
