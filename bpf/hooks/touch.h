/* SPDX-License-Identifier: GPL-2.0-only */
/* receive and send: the last touch of every socket, and the one that read EOF. Caller's context. */

#define CT_MSG_PEEK 2

static __always_inline void ct_progress(struct ct_record *record, u32 op, s32 ret, u32 flags, int eof, u64 now)
{
	struct ct_counts *counts = &record->counts;

	if (op == CT_OP_RECV) {
		counts->rx_calls++;
		counts->eof_reads += eof;
		if (ret > 0 && !(flags & CT_TOUCH_PEEK)) {
			counts->rx_bytes += ret;
			record->last_rx_ns = now;
		}
	} else {
		counts->tx_calls++;
		if (ret > 0) {
			counts->tx_bytes += ret;
			record->last_tx_ns = now;
		}
	}
}

/* The same without the lock. */
static __always_inline void ct_progress_beside(struct ct_record *record, u32 op, s32 ret, u32 flags, int eof, u64 now)
{
	struct ct_counts *counts = &record->contended;

	if (op == CT_OP_RECV) {
		__sync_fetch_and_add(&counts->rx_calls, 1);
		if (eof)
			__sync_fetch_and_add(&counts->eof_reads, 1);
		if (ret > 0 && !(flags & CT_TOUCH_PEEK)) {
			__sync_fetch_and_add(&counts->rx_bytes, ret);
			record->last_rx_ns = now;
		}
	} else {
		__sync_fetch_and_add(&counts->tx_calls, 1);
		if (ret > 0) {
			__sync_fetch_and_add(&counts->tx_bytes, ret);
			record->last_tx_ns = now;
		}
	}
}

/* Where an event loop receives, its receives have no function of the program on their stacks: sends have. */
static __always_inline u16 ct_which_call(struct ct_record *record, u32 op)
{
#ifdef CT_INTERPRETERS
	if (op == CT_OP_SEND && record->flags & CT_R_LOOPS)
		return CT_WHICH_SENT;
#endif
	return CT_WHICH_LAST;
}

/* Returns what is left to the language's program (CT_LEFT), 0 if nothing is. */
static __always_inline u64 ct_io(struct sock *sk, u32 op, s32 ret, u32 flags)
{
	u64 key = (u64)sk, now;
	struct ct_record *record = ct_record_of(key);
	struct ct_touch *touch;
	u16 which;
	u64 left = 0;
	int eof;

	if (!record && !ct_task_in_scope())
		return 0;
	now = bpf_ktime_get_ns();
	if (!record) {
		record = ct_adopt(key, now);
		if (!record)
			return 0;
#ifdef CT_INTERPRETERS
		record->flags |= CT_MARKS(ct_language_of(bpf_get_current_pid_tgid() >> 32));
#endif
	}
	if (ct_is_foreign(record)) {
		ct_remove(record, key, 0, now);
		return 0;
	}
	eof = op == CT_OP_RECV && ret == 0 && record->state == CT_CLOSE_WAIT;
	if (!ct_try_lock(record)) {
		ct_progress_beside(record, op, ret, flags, eof, now);
		ct_contended(record);
		return 0;
	}
	ct_progress(record, op, ret, flags, eof, now);
	which = ct_which_call(record, op);
	if (eof)
		which = CT_WHICH_EOF;
#ifndef CT_ACCEPT_HOOKED
	else if ((record->flags & (CT_R_PASSIVE | CT_R_OPENED_LATE)) == CT_R_PASSIVE) {
		/* its opener, and its last touch until there is another: user space takes it for both */
		record->flags |= CT_R_OPENED_LATE | CT_R_ACCEPTED;
		which = CT_WHICH_OPENED;
	}
#endif
	touch = ct_touch_at(record, which, now);
	which = CT_FORGET(which, now);
	if (touch)
		left = ct_write_touch(record, touch, which, op, ret, flags, now);
	left = CT_FORGET(left, now); /* what follows is the same whether there is something left or not */
	ct_unlock(record);
	return left;
}

static __always_inline u64 ct_recv(struct sock *sk, s32 ret, int flags)
{
	return ct_io(sk, CT_OP_RECV, ret, flags & CT_MSG_PEEK ? CT_TOUCH_PEEK : 0);
}

static __always_inline u64 ct_send(struct sock *sk, s32 ret) { return ct_io(sk, CT_OP_SEND, ret, 0); }

#ifdef CT_KPROBE_CALLS
/* kprobe: remember the socket until the kretprobe tells the result. An entry that is still there means a missed return.
 */
static __always_inline int ct_call_enter(struct socket *socket, u32 op, u32 flags)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct sock *sk = 0;
	struct ct_call call = {.op = op, .flags = flags};

	ct_read_kernel(&sk, sizeof(sk), &socket->sk);
	call.sk = (u64)sk;
	if (!ct_record_of(call.sk) && !ct_task_in_scope())
		return 0;
	if (calls.lookup(&thread))
		ct_count(CT_LOST_RETURNS);
	calls.update(&thread, &call);
	return 0;
}

static __always_inline u64 ct_call_return(u32 op, s32 ret)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct ct_call *call = calls.lookup(&thread);
	u64 sk;
	u32 flags;

	if (!call || call->op != op)
		return 0;
	sk = call->sk;
	flags = call->flags;
	calls.delete(&thread);
	return ct_io((struct sock *)sk, op, ret, flags);
}
#endif
