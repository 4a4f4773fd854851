/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State transitions. Most run in softirq, where the current task is whoever was on the CPU (over loopback: the peer),
 * so the task is looked at only for the transitions that a program's own call makes: LISTEN, SYN_SENT, FIN_WAIT1,
 * LAST_ACK, and CLOSE while the socket lock is owned and no RST came.
 */

static __always_inline void ct_keep_transition(struct ct_record *record, int old, int new, u32 flags, u64 now)
{
	u32 index = record->transitions_seen < CT_TRANSITIONS ? record->transitions_seen : CT_TRANSITIONS - 1;
	struct ct_transition *slot;

	index &= CT_TRANSITIONS - 1;
	slot = &record->transitions[index];
	slot->ns = now;
	slot->old_state = old;
	slot->new_state = new;
	slot->flags = flags;
	slot->tid = flags & CT_TR_OWNED ? (u32)bpf_get_current_pid_tgid() : 0;
	record->transitions_seen++;
}

#ifdef CT_SCOPE_TASKS
static __always_inline void ct_hint(u32 index)
{
	u32 *seen = hints.lookup(&index);
	if (seen)
		*seen = 1;
}

static __always_inline int ct_is_hinted(u32 index)
{
	u32 *seen = hints.lookup(&index);
	return seen && *seen;
}

#define CT_HINT_PORT(port) ((port) % CT_HINTS)
#define CT_HINT_COOKIE(cookie) (CT_HINTS + (u32)((cookie) % CT_HINTS))

static __always_inline void ct_listen(struct sock *sk, int new)
{
	struct ct_listener key = {.netns = ct_netns(sk)};
	u16 port = 0;
	u32 one = 1, *count;

	/* inet_sport is set a moment later; skc_num is right as long as the socket listens */
	ct_read_kernel(&port, sizeof(port), &sk->__sk_common.skc_num);
	key.port = port;
	if (!ct_task_in_scope() || !ct_is_tcp(sk, CT_TYPED))
		return;
	count = listeners.lookup(&key);
	if (!count) {
		if (new == CT_LISTEN) {
			ct_hint(CT_HINT_PORT(key.port));
			listeners.update(&key, &one);
		}
	} else if (new == CT_LISTEN) {
		__sync_fetch_and_add(count, 1);
	} else if (*count > 1) {
		__sync_fetch_and_add(count, -1);
	} else {
		listeners.delete(&key);
	}
}

static __always_inline int ct_listener_in_scope(struct sock *sk)
{
	struct ct_listener key = {.port = ct_local_port(sk, CT_TYPED)};

	if (!ct_is_hinted(CT_HINT_PORT(key.port)))
		return 0;
	key.netns = ct_netns(sk);
	return listeners.lookup(&key) != 0;
}

static __always_inline int ct_is_seeded(struct sock *sk)
{
	u64 cookie = ct_cookie(sk);
	return cookie && ct_is_hinted(CT_HINT_COOKIE(cookie)) && seeds.lookup(&cookie);
}
#else
#define ct_listener_in_scope(sk) 1
#define ct_is_seeded(sk) 1
#endif

/* A transition of a socket that has no record: is it ours? The flags to create one with, 0 if not. */
static __always_inline u32 ct_adopts_moving(struct sock *sk, int old, int new)
{
	if (new == CT_SYN_SENT)
		return ct_task_in_scope() ? CT_R_ACTIVE : 0;
	if (new == CT_ESTABLISHED && old == CT_SYN_RECV)
		return ct_listener_in_scope(sk) ? CT_R_PASSIVE : 0;
	if (new == CT_CLOSE_WAIT || old == CT_ESTABLISHED)
		return ct_is_seeded(sk) ? CT_R_ADOPTED : 0;
	return 0;
}

/* The program's own call made this transition: connect, shutdown or close. 0 if it was none of them. */
static __always_inline u32 ct_local_op(int old, int new, u32 flags)
{
	if (new == CT_SYN_SENT)
		return CT_OP_CONNECT;
#ifndef CT_CLOSE_HOOKED
	if (new == CT_FIN_WAIT1 || new == CT_LAST_ACK)
		return ct_current_syscall() == CT_NR_SHUTDOWN ? CT_OP_SHUTDOWN : CT_OP_CLOSE;
	/* After our FIN it is the peer's ACK that ends the connection, in whatever call works off the backlog. */
	if (old == CT_FIN_WAIT1 || old == CT_FIN_WAIT2 || old == CT_CLOSING || old == CT_LAST_ACK)
		return 0;
	/* A retransmission timeout that met an owned socket is worked off by its owner, who may be reading or writing.
	 */
	if (new == CT_CLOSE && old != CT_SYN_SENT && (flags & CT_TR_OWNED) && !(flags & CT_TR_RESET_PEER) &&
	    !ct_in_data_call())
		return CT_OP_CLOSE;
#endif
	return 0;
}

/* Returns what is left to the language's program (CT_LEFT), 0 if nothing is. */
static __always_inline u64 ct_local_call(struct ct_record *record, int old, int new, u32 flags, u64 now)
{
	u32 op = ct_local_op(old, new, flags);
	u16 which = CT_WHICH_ENDING;
	u32 wanted = 0;

	if (!op)
		return 0;
	if (op == CT_OP_CONNECT)
		which = CT_WHICH_OPENED;
	else
		wanted = ct_end_flags(record, op, now);
	return ct_touch(record, which, op, 0, wanted, now);
}

/*
 * Into the suspects on CLOSE_WAIT, and on a CLOSE that leaves a descriptor behind (RST, keepalive failure, the ACK of a
 * shutdown's FIN). Out when the program closes; after shutdown alone the descriptor is still open, so it stays.
 */
static __always_inline void ct_follow(struct ct_record *record, struct sock *sk, int old, int new, u32 flags, u64 now)
{
	if (new == CT_CLOSE_WAIT) {
		record->fin_ns = now;
		record->unread_at_fin = ct_unread(sk);
		record->inode = ct_inode(sk);
		ct_suspect(record, new, now);
		return;
	}
	if (record->closed) { /* only the peer's last ACK is missing */
		ct_unsuspect(record);
		return;
	}
	if (new == CT_CLOSE && (flags & CT_TR_OPEN_FD) && old != CT_SYN_SENT && old != CT_LISTEN) {
		u64 inode = ct_inode(sk);
		if (inode)
			record->inode = inode;
		ct_suspect(record, new, now);
		return;
	}
	if (new == CT_LAST_ACK)
		ct_suspect(record, new, now);
}

#ifdef CT_EVENTS
static __always_inline void ct_emit(struct ct_record *record, int old, int new, u32 flags, u64 now)
{
	struct ct_event *event = events.ringbuf_reserve(sizeof(struct ct_event));
	struct ct_touch *by = &record->last;

	if (!event) {
		ct_count(CT_LOST_EVENTS);
		return;
	}
	event->ns = now;
	event->in_old_ns = record->state_ns ? now - record->state_ns : 0;
	event->sk = record->sk;
	event->cookie = record->cookie;
	event->netns = record->netns;
	event->lport = record->lport;
	event->rport = record->rport;
	event->family = record->family;
	event->old_state = old;
	event->new_state = new;
	event->flags = flags;
	event->box = 0;
	event->pad = 0;
	__builtin_memcpy(event->laddr, record->laddr, sizeof(event->laddr));
	__builtin_memcpy(event->raddr, record->raddr, sizeof(event->raddr));
	if (record->ending.ns > by->ns)
		by = &record->ending;
	if (by->op == CT_OP_NONE)
		by = &record->opened;
	event->pid = by->pid;
	event->tid = by->tid;
	__builtin_memcpy(event->comm, by->comm, sizeof(event->comm));
#ifdef CT_EVENT_STACKS
	/* The box of the call that made the transition goes with the event, which owns it from here. */
	if (new == CT_SYN_SENT || new == CT_FIN_WAIT1 || new == CT_LAST_ACK ||
	    (new == CT_CLOSE && (flags & CT_TR_OWNED) && !(flags & CT_TR_RESET_PEER))) {
		event->box = by->box;
		by->box = 0;
	}
#endif
	events.ringbuf_submit(event, 0);
}
#else
#define ct_emit(record, old, new, flags, now)
#endif

/* Returns as ct_local_call. */
static __always_inline u64 ct_move(u64 key, int old, int new)
{
	struct sock *sk = ct_typed(key);
	u64 now, left;
	struct ct_record *record;
	u32 flags = 0;

#ifdef CT_SCOPE_TASKS
	/* LISTEN to SYN_RECV is no end of the listener: it is its child, cloned with the listener's state and port */
	if (new == CT_LISTEN || (old == CT_LISTEN && new != CT_SYN_RECV))
		ct_listen(sk, new);
#endif
	record = ct_record_of(key);
	if (record && (new == CT_SYN_SENT || new == CT_SYN_RECV)) {
		/* connect again on the same socket, or the address serves another and the end of the first was missed
		 */
		ct_retire(record, key);
		record = 0;
	}
	if (!record) {
		flags = ct_adopts_moving(sk, old, new);
		if (!flags)
			return 0;
	}
	now = bpf_ktime_get_ns();
	if (!record) {
		record = ct_create(sk, key, CT_TYPED, CT_FORGET(flags, now), old, now);
		if (!record)
			return 0;
	} else if (new == CT_ESTABLISHED || !record->lport) { /* the local port of a connect comes after SYN_SENT */
		ct_read_tuple(sk, CT_TYPED, record);
		if (!ct_tuple_in_scope(record)) {
			ct_remove(record, key, 0, now);
			return 0;
		}
	}
	flags = (ct_owned(sk) ? CT_TR_OWNED : 0) | record->reset_flags | (ct_has_descriptor(sk) ? CT_TR_OPEN_FD : 0);
	left = ct_local_call(record, old, new, flags, now);
	/* close after shutdown, before the peer's ACK, sets FIN_WAIT1 again: a call, not a transition */
	if (new == old)
		return left;
	ct_keep_transition(record, old, new, flags, now);
	ct_follow(record, sk, old, new, flags, now);
	ct_emit(record, old, new, flags, now);
	record->state = new;
	record->state_ns = now;
	return left;
}

#ifdef CT_STATE_ELSEWHERE
/* Beside tcp_set_state, the tracepoint tells only what does not pass through that function. */
static __always_inline int ct_state_rest(u64 key, int old, int new)
{
	if (new == CT_LISTEN || new == CT_SYN_RECV)
		ct_move(key, old, new); /* no call of a program that leaves a stack */
	return 0;
}
#endif
