/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of a record, as several hooks need it: found, created, adopted, suspected, ended, and handed over or freed.
 * Each hook file under hooks/ holds only what it alone does.
 */

#ifdef CT_SCOPE_TASKS
/* multiplicative hashing (Knuth, volume 3, 6.4): addresses of one slab differ in their middle bits */
static __always_inline u32 ct_known_place(u64 key) { return (key * 0x9e3779b97f4a7c15ULL) >> (64 - CT_KNOWN_BITS); }

static __always_inline void ct_know(u64 key, u64 more)
{
	u32 place = ct_known_place(key), index = place / 4;
	u64 *counts = known.lookup(&index);
	if (counts)
		__sync_fetch_and_add(counts, more << (place % 4 * 16));
}

static __always_inline int ct_is_known(u64 key)
{
	u32 place = ct_known_place(key), index = place / 4;
	u64 *counts = known.lookup(&index);
	return counts && (*counts >> (place % 4 * 16) & 0xffff);
}
#else
#define ct_know(key, more)
#endif

/* The record of a socket, 0 if it has none: the first question of every hook. */
static __always_inline struct ct_record *ct_record_of(u64 key)
{
#ifdef CT_SCOPE_TASKS
	if (!ct_is_known(key))
		return 0;
#endif
	return ct_find(key);
}

/* Creation */

/* Does the connection itself match the filters? An unset local port (connect in progress) is judged later. */
static __always_inline int ct_tuple_in_scope(struct ct_record *record)
{
#ifdef CT_LOCAL_PORTS
	if (record->lport && !(CT_LOCAL_PORTS(record->lport)))
		return 0;
#endif
#ifdef CT_REMOTE_PORTS
	if (!(CT_REMOTE_PORTS(record->rport)))
		return 0;
#endif
#ifdef CT_NETNS
	if (!(CT_NETNS(record->netns)))
		return 0;
#endif
#ifdef CT_REMOTES
	u32 a0 = 0, a1 = 0, a2 = 0, a3 = 0;
	u32 *words = (u32 *)record->raddr;
	if (record->family == CT_AF_INET) { /* as v4-mapped, so that one form of filter serves both */
		a2 = bpf_htonl(0xffff);
		a3 = words[0];
	} else {
		a0 = words[0];
		a1 = words[1];
		a2 = words[2];
		a3 = words[3];
	}
	if (!(CT_REMOTES(a0, a1, a2, a3)))
		return 0;
#endif
	return 1;
}

#ifdef CT_PIDS
#define CT_GENERATIONS 4
/*
 * Was the caller forked off a process in scope after the connection had come? Then it inherited the descriptor, and
 * that process still has its own.
 */
static __always_inline int ct_has_inherited(struct ct_record *record)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;

#pragma unroll
	for (int i = 0; i < CT_GENERATIONS; i++) {
		struct ct_made *made = parents.lookup(&tgid);
		if (!made || made->ns < record->birth_ns)
			return 0;
		tgid = made->by;
		if (CT_PIDS(tgid))
			return 1;
	}
	return 0;
}
#else
#define ct_has_inherited(record) 0
#endif

/*
 * A child of a listener in scope belongs to the process that takes it: with a shared listener (prefork servers) that
 * may be one out of scope, and then the socket is not ours after all. A handler that was forked after accept only
 * borrows it; where accept has no hook, its first call is the first that is seen.
 */
static __always_inline int ct_is_foreign(struct ct_record *record)
{
#ifdef CT_SCOPE_TASKS
	return (record->flags & (CT_R_PASSIVE | CT_R_ACCEPTED)) == CT_R_PASSIVE && !ct_task_in_scope() &&
	       !ct_has_inherited(record);
#else
	return 0;
#endif
}

static __always_inline void ct_forget(struct ct_record *record, u64 key)
{
	if (!ct_delete(record, key))
		return;
	ct_know(key, -1ULL);
	ct_count(CT_N_DESTROYED);
}

/* A new record for a socket that is in scope by its task or listener; 0 if its tuple is not, or the map is full. typed:
 * see CT_SOCK_READ. */
static __always_inline struct ct_record *ct_create(struct sock *sk, u64 key, int typed, u32 flags, u8 state, u64 now)
{
	struct ct_birth birth = {.key = key, .ns = now, .flags = flags, .state = state};
	struct ct_record *record;
	u64 made;

	if (!ct_is_tcp(sk, typed))
		return 0;
	ct_know(key, 1); /* before it can be found, so that no hook misses it */
	record = ct_insert(&birth, &made);
	if (!record || !made) {
		ct_know(key, -1ULL);
		return record;
	}
	ct_count(CT_N_CREATED);
	ct_read_tuple(sk, typed, record);
	if (ct_tuple_in_scope(record))
		return record;
	if (ct_try(&record->gone))
		ct_forget(record, key);
	return 0;
}

/* Suspects */

static __always_inline void ct_mark(struct ct_record *record, u8 suspect)
{
	u64 bucket = record->bucket; /* see ct_count */
	struct ct_marks *of = marks.lookup(&bucket);

	CT_STORES_IN_ORDER(); /* what the record says of it comes first */
	if (of)
		*(volatile u8 *)&of->ways[record->way & 7] = suspect;
}

static __always_inline void ct_suspect(struct ct_record *record, int new, u64 now)
{
	if (!record->suspect_ns)
		record->suspect_ns = now;
	record->suspect_state = new;
	ct_mark(record, 1);
}

static __always_inline void ct_unsuspect(struct ct_record *record)
{
	if (record->suspect_state)
		ct_mark(record, 0);
	record->suspect_state = 0;
}

static __always_inline int ct_lingered(struct ct_record *record, u64 now)
{
	return record->suspect_ns && now - record->suspect_ns >= CT_LINGER_NS;
}

/* A socket that nobody recorded yet and that a task in scope uses: older than the trace, or handed over by a process
 * that is not in scope. */
static __always_inline struct ct_record *ct_adopt(u64 key, u64 now)
{
	u8 state = ct_state((struct sock *)key);
	struct ct_record *record;

	if (state == CT_CLOSE || state == CT_LISTEN)
		return 0;
	record = ct_create((struct sock *)key, key, CT_UNTYPED, CT_R_ADOPTED, state, now);
	/* Its FIN came before our time; user space knows from sock_diag how long ago at least. */
	if (record && state == CT_CLOSE_WAIT)
		ct_suspect(record, state, now);
	return record;
}

/* The program's last word: shutdown or close */

/* A close in good time is not worth a stack: only one that ends a suspicion, and a shutdown that may be the last word.
 */
static __always_inline u32 ct_end_flags(struct ct_record *record, u32 op, u64 now)
{
#ifdef CT_ALWAYS_END_STACK
	return 0;
#else
	if (record->suspect_ns && (op == CT_OP_SHUTDOWN || ct_lingered(record, now)))
		return 0;
	return CT_TOUCH_UNWANTED;
#endif
}

/* Returns what is left to the language's program (CT_LEFT), 0 if nothing is. */
static __always_inline u64 ct_end(struct ct_record *record, u32 op, s32 how, u64 now)
{
	return ct_touch(record, CT_WHICH_ENDING, op, how, ct_end_flags(record, op, now), now);
}

/* The end of a record */

static __always_inline void ct_free_boxes(struct ct_record *record)
{
	ct_free_box(record->last.box, record->last.cpu);
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < 4; i++) { /* opened, eof, ending, sent */
		struct ct_touch *touch = &record->opened + i;
		ct_free_box(touch->box, touch->cpu);
	}
}

/* With the record go its boxes: user space gives them back once it has read them. 0 if there is no room for it. */
static __always_inline int ct_hand_over(struct ct_record *record, u64 now)
{
	record->state_ns = now;
	if (!endings.ringbuf_output(record, sizeof(*record), CT_RB_NO_WAKEUP))
		return 1;
	ct_count(CT_LOST_EVENTS);
	return 0;
}

/* Takes the record away, once, whoever else is about to. wanted: user space is to see it. */
static __always_inline void ct_remove(struct ct_record *record, u64 key, int wanted, u64 now)
{
	if (!ct_try(&record->gone))
		return;
	if (!ct_lock_for_good(record))
		ct_count(CT_LOST_BOXES); /* freeing them beside run_drain would give a box two owners */
	else if (!wanted || !ct_hand_over(record, now))
		ct_free_boxes(record);
	ct_unsuspect(record);
	ct_forget(record, key);
}

/* The socket has ended: its record is handed over if it lingered (to `timeline`: always). */
static __always_inline void ct_retire(struct ct_record *record, u64 key)
{
#ifdef CT_ALL_ENDINGS
	ct_remove(record, key, 1, bpf_ktime_get_ns());
#else
	u64 now = record->suspect_ns ? bpf_ktime_get_ns() : 0; /* the time of what goes unseen does not matter */

	ct_remove(record, key, ct_lingered(record, now), now);
#endif
}
