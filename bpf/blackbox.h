/* SPDX-License-Identifier: GPL-2.0-only */
/* Touches and their black boxes: who called, with which registers, and the top of the user stack, copied raw. */

/*
 * Verifiers before 6.3 or so lose what they knew of a value once it has been on the stack: bound it again where it is
 * used, and keep the compiler from seeing that this is not needed.
 */
#define CT_BELOW_PAGE(value)                                                                                           \
	({                                                                                                             \
		u64 __value = (value);                                                                                 \
		asm volatile("" : "+r"(__value));                                                                      \
		__value &(CT_PAGE - 1);                                                                                \
	})

/* The xor changes nothing. Without it, what the comparison tells of the copy is true of value, too, see CT_FORGET. */
#define CT_AT_MOST(value, most)                                                                                        \
	({                                                                                                             \
		u64 __value = (value);                                                                                 \
		asm volatile("%0 ^= 0" : "+r"(__value));                                                               \
		__value > (most) ? (most) : __value;                                                                   \
	})

/*
 * The same value, but the verifier no longer knows what it can be. The verifier follows two ways to one place apart if
 * they differ in what it knows of a value that matters, and there are many ways to where a stack is copied. by is any
 * value that the verifier does not know. Load time is what this saves: see the verifier's "processed" count.
 */
#define CT_FORGET(value, by)                                                                                           \
	({                                                                                                             \
		u64 __mixed = (u64)(value) ^ (by);                                                                     \
		asm volatile("" : "+r"(__mixed));                                                                      \
		__mixed ^ (by);                                                                                        \
	})

/* How many of value bytes fit into a page, without a branch; value is more than 0. */
#define CT_UP_TO_PAGE(value)                                                                                           \
	({                                                                                                             \
		u64 __bytes = (value), __over = CT_PAGE - __bytes;                                                     \
		asm volatile("" : "+r"(__over));                                                                       \
		CT_BELOW_PAGE((__bytes - 1) | (u64)((s64)__over >> 63)) + 1;                                           \
	})

/* 1 if value, which is no more than an s64 holds, is not 0. Without a branch, like what follows. */
#define CT_IS_SET(value) (-(u64)(value) >> 63)

/* One bit, without a branch: the verifier would follow each page's two ways apart. */
#define CT_FAILED(error) ((u64)(error) >> 63)

/*
 * Copies want bytes (no more than pages * CT_PAGE) from user memory at from, a page at a time, so that a page that is
 * not in memory is missing instead of failing the copy: a bpf_probe_read_user that faults fails as a whole, zeroes its
 * place, and costs as much as all the rest. Returns a bit for each page that is missing, counted from the first one's.
 * Where nobody knows the end (!known), two missing pages in a row are taken for it: all behind them are missing, too.
 */
static __always_inline u64 ct_copy_pages(u8 *to, u64 pages, u64 from, u64 want, u64 known)
{
	u64 first = CT_PAGE - (from & (CT_PAGE - 1)), before = (pages - 1) * CT_PAGE, left, missing = 0;
	u64 end = CT_FORGET(known ? 4 : 3, from);

	/* What lies beyond the last whole page. Its place is a constant, as the verifier wants; the page before it,
	 * which it overlaps, is copied later. */
	if (first + before < want)
		missing = CT_FAILED(ct_read_user(to + before, CT_BELOW_PAGE(want - before - 1) + 1,
						 (void *)(from + before)))
			  << pages;
	left = first < want ? first : want;
	missing |= CT_FAILED(ct_read_user(to, CT_UP_TO_PAGE(left), (void *)from));
	from += first;
	left = want - first;
#pragma clang loop unroll(disable)
	for (u64 i = 1; i < pages && (s64)left > 0; i++) {
		if ((missing << 2 >> i & 3) == end)
			return missing | ~0ull << i;
		missing |= CT_FAILED(ct_read_user(to + (i - 1) * CT_PAGE + 1 + CT_BELOW_PAGE(first - 1),
						  CT_UP_TO_PAGE(left), (void *)from))
			   << i;
		from += CT_PAGE;
		left -= CT_PAGE;
	}
	return missing;
}

/*
 * Copies the stack from sp upwards into a box of pages pages. size is what there is, 0 if nobody knows. Of more than
 * fits, the box has the first part and the stack's last pages, with a gap between them: a frame with a large buffer is
 * jumped over, and the walk goes on behind it. A small box has no far part: it cuts what is larger. words: how many
 * bytes the near part leaves free at its end.
 */
static __always_inline void ct_copy_stack(struct ct_box_head *head, u64 pages, u64 words, u64 sp, u64 size)
{
	u8 *stack = (u8 *)(head + 1), *to = stack;
	u64 far = pages / CT_FAR_SHARE, near = pages - far, room = pages * CT_PAGE - words, part = pages, shift = 0;
	u64 want = size ? CT_AT_MOST(size, room) : room, from = sp, mask = ~0ull, known = size && size <= room;

	head->length = want;
	head->missing = 0;
	head->gap = 0;
	if (far && size > room) {
		head->gap = size - want;
		want = far * CT_PAGE;
		from = sp + size - want;
		to = stack + near * CT_PAGE;
		part = far;
		shift = near + 1;
		known = 1;
	}
	/* The far part, if there is one, then the other. */
#pragma clang loop unroll(disable)
	for (;;) {
		want = CT_FORGET(want, sp);
		mask = CT_FORGET(mask, sp);
		if (!size || ct_read_user(to, CT_AT_MOST(want, part * CT_PAGE), (void *)from))
			head->missing |= (ct_copy_pages(to, part, from, want, known) & mask) << shift;
		if (!shift)
			break;
		want = near * CT_PAGE - words;
		from = sp;
		to = stack;
		part = pages;
		shift = 0;
		mask = (2ull << near) - 1;
		known = 0;
	}
}

/* What kinds of boxes there are, by what they hold. */
enum ct_kind {
	CT_SMALL = 0,
	CT_USUAL = 1,
	CT_DEEP = 2,
};

/* Without a branch, like ct_kind_for: see CT_FORGET. */
static __always_inline u64 ct_kind_of(u64 box) { return CT_USUAL + (box / CT_DEEP_BOX & 1) - (box / CT_SMALL_BOX & 1); }

/* The kind that holds size bytes; 0 is for a stack whose end nobody knows. */
static __always_inline u64 ct_kind_for(u64 size)
{
	return CT_USUAL + (CT_STACK_BYTES - size >> 63) - ((size - CT_SMALL_STACK - 1 & -size) >> 63);
}

/* Who finds it taken gives way, and so may both of two who come at once. */
static __always_inline int ct_try(u32 *lock)
{
	u32 busy;

	__sync_fetch_and_add(lock, 1);
	busy = *(volatile u32 *)lock;
	if (busy == 1)
		return 1;
	/* It was -1: run_drain let go of a record that had ended and whose memory serves another socket by now. */
	__sync_fetch_and_add(lock, busy == 0 ? 1 : -1);
	return busy == 0;
}

/* Tries for longer than a holder on another CPU needs. One that this program interrupted does not let go meanwhile. */
static __always_inline int ct_try_some(u32 *lock)
{
#pragma clang loop unroll(disable)
	for (u64 i = 0; i < 8; i++)
		if (ct_try(lock))
			return 1;
	return 0;
}

static __always_inline void ct_let_go(u32 *lock) { __sync_fetch_and_add(lock, -1); }

/* One of the CPU's own; 0 if it has none. */
static __always_inline u64 ct_unstash(u64 kind, u64 cpu)
{
	u64 index = CT_STASH_OF(cpu, kind), count, box = 0;
	struct ct_stash *stash = stashes.lookup(&index);

	if (!stash || !*(volatile u32 *)&stash->count || !ct_try(&stash->busy))
		return 0;
	count = stash->count - 1;
	if (count < CT_STASHED) {
		box = stash->boxes[count];
		stash->count = count;
	}
	ct_let_go(&stash->busy);
	return box;
}

/* 0 if there is no room. */
static __always_inline u64 ct_stash(u64 box, u64 kind, u64 cpu)
{
	u64 index = CT_STASH_OF(cpu, kind), count, most = CT_STASH_MOST >> 8 * kind & 255;
	struct ct_stash *stash = stashes.lookup(&index);

	if (!stash || *(volatile u32 *)&stash->count >= most || !ct_try(&stash->busy))
		return 0;
	count = stash->count;
	if (count < most && count < CT_STASHED) {
		stash->boxes[count] = box;
		stash->count = count + 1;
	} else
		box = 0;
	ct_let_go(&stash->busy);
	return box;
}

/* A free box from the list of all CPUs; 0 if that is empty. */
static __always_inline u32 ct_pop(u64 kind)
{
	u64 box = 0; /* see ct_count */

	if (kind == CT_SMALL)
		return free_small_boxes.pop(&box) ? 0 : box;
#ifdef CT_DEEP_STACK
	if (kind == CT_DEEP)
		return free_deep_boxes.pop(&box) ? 0 : box;
#endif
	return free_boxes.pop(&box) ? 0 : box;
}

/* 0 if that pool's list is full, which it never is. Newer bcc declares that push() gives a pointer. */
static __always_inline u64 ct_push(u64 box)
{
	u64 failed;

	if (box & CT_SMALL_BOX) {
		failed = (u64)free_small_boxes.push(&box, 0);
		CT_OWN_CALL(CT_SMALL);
#ifdef CT_DEEP_STACK
	} else if (box & CT_DEEP_BOX) {
		failed = (u64)free_deep_boxes.push(&box, 0);
		CT_OWN_CALL(CT_DEEP);
#endif
	} else
		failed = (u64)free_boxes.push(&box, 0);
	return !failed;
}

/* cpu: who took it. */
static __always_inline void ct_free_box(u64 box, u64 cpu)
{
	if (!box || !(ct_stash(box, ct_kind_of(box), cpu) || ct_push(box)))
		return;
	ct_count(CT_N_BOXES_FREED);
	if (box & CT_DEEP_BOX)
		ct_count(CT_N_DEEP_FREED);
}

static __always_inline void ct_count_taken(u32 box)
{
	ct_count(CT_N_BOXES_TAKEN);
	if (box & CT_DEEP_BOX)
		ct_count(CT_N_DEEP_TAKEN);
}

/* One from the pool that suits, else from a larger one, else from a smaller one; 0 if all stack memory is spent. */
static __always_inline u64 ct_take_box(u64 kind, u64 cpu)
{
	u64 box = ct_unstash(kind, cpu);

	if (!box)
		box = ct_pop(kind);
	if (!box)
		box = ct_pop(kind == CT_USUAL ? CT_DEEP : CT_USUAL);
	if (!box)
		box = ct_pop(kind == CT_SMALL ? CT_DEEP : CT_SMALL);
	if (box)
		ct_count_taken(box);
	else
		ct_count(CT_LOST_BOXES);
	return box;
}

/* The touch's own box if the stack has room in it, or another. A stack that is cut is better than none. */
static __always_inline u64 ct_box_of(struct ct_touch *touch, u64 kind)
{
	u64 held = touch->box, cpu, larger;

	if (held && ct_kind_of(held) >= kind)
		return held;
	cpu = bpf_get_smp_processor_id() & 255;
	if (!held) {
		touch->cpu = cpu;
		return ct_take_box(kind, cpu);
	}
	larger = ct_pop(kind);
	if (!larger)
		return held;
	ct_count_taken(larger);
	ct_free_box(held, touch->cpu);
	touch->cpu = cpu;
	return larger;
}

/*
 * A box has one writer, the holder of its record's lock. Its stores must become visible in their order; how that is
 * done is the machine's affair (tracer/machine/macros.py). A locked instruction would wait for all stores before it.
 */
static __always_inline void ct_step(u32 *seq)
{
	CT_STORES_IN_ORDER();
	*(volatile u32 *)seq = *seq + 1;
	CT_STORES_IN_ORDER();
}

/* How many bytes the stack has above sp; 0 if that is not known. */
static __always_inline u64 ct_stack_size(struct ct_user *user)
{
	u64 end = ct_stack_end(user->task, user->sp), size = end - user->sp;

	return end <= user->sp || size > CT_MOST_STACK ? 0 : size;
}

static __always_inline void ct_fill_head(struct ct_box_head *head, struct ct_user *user, struct ct_record *record,
					 struct ct_touch *touch, u16 which, u32 language)
{
	head->sk = record->sk;
	head->birth_ns = record->birth_ns;
	head->ns = touch->ns;
	head->pid = touch->pid;
	head->tid = touch->tid;
	head->touch_seq = touch->seq;
	head->which = which;
	head->language = language; /* cut to CT_ANY_LANGUAGE */
	head->frames = CT_FRAMES_PENDING * CT_IS_SET(language & CT_ANY_LANGUAGE);
	head->frames_end = CT_FRAMES_NONE;
	ct_copy_registers(head->registers, user->regs);
}

/* The box with this handle, and how many pages of stack it has. */
static __always_inline struct ct_box_head *ct_head_of(u32 handle, u64 *pages)
{
	u64 index = CT_BOX_INDEX(handle);
	struct ct_box_head *head;

	*pages = CT_STACK_PAGES;
	if (handle & CT_SMALL_BOX) {
		head = (struct ct_box_head *)small_boxes.lookup(&index);
		CT_OWN_CALL(CT_SMALL);
		*pages = CT_SMALL_STACK / CT_PAGE;
#ifdef CT_DEEP_STACK
	} else if (handle & CT_DEEP_BOX) {
		head = (struct ct_box_head *)deep_boxes.lookup(&index);
		CT_OWN_CALL(CT_DEEP);
		*pages = CT_DEEP_STACK / CT_PAGE;
#endif
	} else
		head = (struct ct_box_head *)boxes.lookup(&index);
	return head;
}

static __always_inline u32 ct_fill_box(u32 handle, u64 size, struct ct_user *user, struct ct_record *record,
				       struct ct_touch *touch, u16 which, u32 language)
{
	u64 pages;
	struct ct_box_head *head = ct_head_of(handle, &pages);

	if (!head)
		return 0;
	asm volatile("" : "+r"(pages)); /* of what the compiler knows of it, it would make branches */
	ct_step(&head->seq);
	ct_fill_head(head, user, record, touch, which, language);
	/* What comes from a map the verifier does not know, as with CT_FORGET. */
	ct_copy_stack(head, pages, CT_WORDS_BYTES * CT_IS_SET(language & CT_ANY_LANGUAGE),
		      *(volatile u64 *)&head->registers[CT_REGISTER_SP], size);
	ct_step(&head->seq);
	return 1;
}

/* Only one thread at a time writes the touches of a record; the others give way and say so. */
static __always_inline int ct_try_lock(struct ct_record *record) { return ct_try(&record->busy); }

/* For the end of a record: nobody but run_drain can hold the lock then, and not for long. Never given back. */
static __always_inline int ct_lock_for_good(struct ct_record *record)
{
#pragma unroll
	for (int i = 0; i < 8; i++)
		if (ct_try_lock(record))
			return 1;
	return 0;
}

static __always_inline void ct_unlock(struct ct_record *record) { ct_let_go(&record->busy); }

static __always_inline struct ct_touch *ct_touch_of(struct ct_record *record, u64 which)
{
	if (which == CT_WHICH_OPENED)
		return &record->opened;
	if (which == CT_WHICH_EOF)
		return &record->eof;
	if (which == CT_WHICH_ENDING)
		return &record->ending;
#ifdef CT_INTERPRETERS
	if (which == CT_WHICH_SENT)
		return &record->sent;
#endif
	return &record->last;
}

/* The same, but the verifier does not know which one, see CT_FORGET. */
static __always_inline struct ct_touch *ct_touch_at(struct ct_record *record, u64 which, u64 by)
{
	u64 at = CT_FORGET((u8 *)ct_touch_of(record, which) - (u8 *)record, by);
	u8 *touch = at > sizeof(*record) - sizeof(struct ct_touch) ? 0 : (u8 *)record + at;

	asm volatile("" : "+r"(touch)); /* who asks whether it is 0 asks just that: 5.10 does not see that at tells */
	return (struct ct_touch *)touch;
}

static __always_inline void ct_fill_touch(struct ct_touch *touch, struct task_struct *task, u32 op, s32 ret, u32 flags,
					  u64 now)
{
	touch->ns = now;
	touch->ret = ret;
	touch->op = op;
	touch->flags = flags;
	touch->stack = 0;
	touch->seq++;
	ct_identify(touch, task);
}

#ifdef CT_GUARDED
/* Receives and sends are the many; what opens and ends a socket keeps its stack whatever it costs. */
static __always_inline int ct_spared(u16 which)
{
	u32 zero = 0, *mask = control.lookup(&zero);

	if (!mask || !*mask || which == CT_WHICH_OPENED || which == CT_WHICH_ENDING)
		return 0;
	return *mask == ~0u || (bpf_get_prandom_u32() & *mask);
}
#else
#define ct_spared(which) 0
#endif

/*
 * Registers and stack for a touch that is already filled. Gives the box back where there is nothing to keep in it.
 * Returns what is left to the language's program, for ct_finish.
 */
static __always_inline u64 ct_box_touch(struct ct_record *record, struct ct_touch *touch, struct ct_user *user,
					u16 which)
{
	u32 language = 0;
	u64 size, kind, words;

	touch->syscall = -1;
	if (user->flags & (CT_PF_KTHREAD | CT_PF_IO_WORKER)) {
		touch->flags |= CT_TOUCH_KERNEL;
		goto drop;
	}
	touch->syscall = (s32)user->syscall;
	if (user->flags & CT_PF_EXITING) {
		touch->flags |= CT_TOUCH_EXITING;
		goto drop;
	}
	if (!CT_IS_64_BIT((u16)user->cs)) {
		touch->flags |= CT_TOUCH_COMPAT;
		goto drop;
	}
#ifdef CT_NO_STACKS
	goto drop;
#endif
	if (touch->flags & CT_TOUCH_UNWANTED)
		goto drop;
	if (ct_spared(which)) {
		touch->flags |= CT_TOUCH_SPARED;
		goto drop;
	}
	size = CT_FORGET(ct_stack_size(user), user->sp);
#ifdef CT_INTERPRETERS
	language = CT_FORGET(ct_language_of(touch->pid), user->sp);
	record->flags |= CT_MARKS(language);
#endif
	words = CT_FORGET(CT_IS_SET(language & CT_ANY_LANGUAGE) & CT_IS_SET(size), user->sp); /* 0: see ct_kind_for */
	kind = CT_FORGET(ct_kind_for(size + CT_WORDS_BYTES * words), user->sp);
	touch->box = CT_FORGET(ct_box_of(touch, kind), user->sp);
	if (!touch->box || !ct_fill_box(touch->box, size, user, record, touch, which, language)) {
		touch->flags |= CT_TOUCH_NO_BOX;
		return 0;
	}
	return CT_LEFT(touch->box, language);
drop:
	ct_free_box(touch->box, touch->cpu);
	touch->box = 0;
	return 0;
}

/* Writes one touch of a record whose lock is held. Returns as above. */
static __always_inline u64 ct_write_touch(struct ct_record *record, struct ct_touch *touch, u16 which, u32 op, s32 ret,
					  u32 flags, u64 now)
{
	struct ct_user user = {};

	ct_user_of_task(&user);
	ct_fill_touch(touch, user.task, op, ret, flags, now);
	return ct_box_touch(record, touch, &user, which);
}

static __always_inline void ct_contended(struct ct_record *record)
{
	__sync_fetch_and_add(&record->missed, 1);
	ct_count(CT_LOST_CONTENDED);
}

/* Writes one touch of a record, whole or not at all. Returns as above. */
static __always_inline u64 ct_touch(struct ct_record *record, u16 which, u32 op, s32 ret, u32 flags, u64 now)
{
	struct ct_touch *touch;
	u64 left = 0;

	if (!ct_try_lock(record)) {
		ct_contended(record);
		return 0;
	}
	touch = ct_touch_at(record, which, now);
	which = CT_FORGET(which, now);
	op = CT_FORGET(op, now);
	record->closed |= 1 ^ CT_IS_SET(op ^ CT_OP_CLOSE);
	if (touch)
		left = ct_write_touch(record, touch, which, op, ret, CT_FORGET(flags, now), now);
	ct_unlock(record);
	return left;
}
