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

#define CT_AT_MOST(value, most)                                                                                        \
	({                                                                                                             \
		u64 __value = (value);                                                                                 \
		asm volatile("" : "+r"(__value));                                                                      \
		__value > (most) ? (most) : __value;                                                                   \
	})

/* The last page of a box, or its first bytes: from sp up to end. */
static __always_inline long ct_copy_tail(struct ct_box *box, u64 sp, u64 end)
{
	u64 before = (CT_STACK_PAGES - 1) * CT_PAGE;

	return ct_read_user(box->stack + before, CT_BELOW_PAGE(end - before - 1) + 1, (void *)(sp + before));
}

/*
 * Where the stack's end is not known, or not all of it is in memory: a page at a time, so that what is missing shortens
 * the copy instead of failing it (a bpf_probe_read_user that faults fails as a whole, and costs as much as all the
 * rest). The last part, up to want, overlaps the page before it: its place is a constant then, as the verifier wants.
 */
static __always_inline u32 ct_copy_pages(struct ct_box *box, u64 sp, u64 want)
{
	u64 first = CT_PAGE - (sp & (CT_PAGE - 1)), done = first < want ? first : want, size;

	if (ct_read_user(box->stack, CT_BELOW_PAGE(done - 1) + 1, (void *)sp))
		return 0;
#pragma unroll
	for (u32 i = 1; i < CT_STACK_PAGES; i++) {
		if (done >= want)
			return want;
		size = want - done;
		if (size > CT_PAGE)
			size = CT_PAGE;
		if (ct_read_user(box->stack + (i - 1) * CT_PAGE + 1 + CT_BELOW_PAGE(first - 1),
				 CT_BELOW_PAGE(size - 1) + 1, (void *)(sp + done)))
			return done;
		done += size;
	}
	if (done >= want)
		return want;
	if (!ct_copy_tail(box, sp, want))
		return want;
	/* What failed has zeroed its place. */
	return ct_copy_tail(box, sp, done) ? (CT_STACK_PAGES - 1) * CT_PAGE : done;
}

/* Copies want bytes of the stack from sp upwards; where want is 0 nobody knows how many there are. Returns how many. */
static __always_inline u32 ct_copy_stack(struct ct_box *box, u64 sp, u64 want)
{
	if (!want)
		return ct_copy_pages(box, sp, CT_STACK_BYTES);
	if (!ct_read_user(box->stack, CT_AT_MOST(want, CT_STACK_BYTES), (void *)sp))
		return want;
	return ct_copy_pages(box, sp, want);
}

/* The same into a small box, which cuts what is larger; of what is not all in memory, up to the first page's end. */
static __always_inline u32 ct_copy_small(struct ct_small_box *box, u64 sp, u64 want)
{
	u64 first = CT_PAGE - (sp & (CT_PAGE - 1)), size = want ? CT_AT_MOST(want, CT_SMALL_STACK) : CT_SMALL_STACK;

	if (!ct_read_user(box->stack, size, (void *)sp))
		return size;
	if (first >= size || ct_read_user(box->stack, CT_BELOW_PAGE(first - 1) + 1, (void *)sp))
		return 0;
	return first;
}

/* A free box; 0 if that pool is spent. */
static __always_inline u32 ct_pop(int small)
{
	u32 box = 0;

	if (small)
		return free_small_boxes.pop(&box) ? 0 : box;
	return free_boxes.pop(&box) ? 0 : box;
}

static __always_inline void ct_free_box(u32 box)
{
	if (!box)
		return;
	if (!(box & CT_SMALL_BOX ? free_small_boxes.push(&box, 0) : free_boxes.push(&box, 0)))
		ct_count(CT_N_BOXES_FREED);
}

/* One from the pool that suits, else from the other; 0 if all stack memory is spent. */
static __always_inline u32 ct_take_box(int small)
{
	u32 box = ct_pop(small);

	if (!box)
		box = ct_pop(!small);
	ct_count(box ? CT_N_BOXES_TAKEN : CT_LOST_BOXES);
	return box;
}

/* The touch's own box if the stack has room in it, or another. A stack that is cut is better than none. */
static __always_inline u32 ct_box_of(struct ct_touch *touch, int small)
{
	u32 held = touch->box, larger;

	if (!held)
		return ct_take_box(small);
	if (small || !(held & CT_SMALL_BOX))
		return held;
	larger = ct_pop(0);
	if (!larger)
		return held;
	ct_count(CT_N_BOXES_TAKEN);
	ct_free_box(held);
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

/* How many bytes the stack has above sp; 0 if that is not known, or more than a box holds. */
static __always_inline u64 ct_stack_size(struct ct_user *user)
{
	u64 end = ct_stack_end(user->task, user->sp), size = end - user->sp;

	return end <= user->sp || size > CT_STACK_BYTES ? 0 : size;
}

static __always_inline void ct_fill_head(struct ct_box_head *head, struct ct_user *user, struct ct_record *record,
					 struct ct_touch *touch, u16 which)
{
	head->sk = record->sk;
	head->birth_ns = record->birth_ns;
	head->ns = touch->ns;
	head->pid = touch->pid;
	head->tid = touch->tid;
	head->touch_seq = touch->seq;
	head->which = which;
	ct_copy_registers(head->registers, user->regs);
}

static __always_inline u32 ct_fill_box(u32 handle, u64 size, struct ct_user *user, struct ct_record *record,
				       struct ct_touch *touch, u16 which)
{
	u32 index = CT_BOX_INDEX(handle);
	struct ct_small_box *small;
	struct ct_box *box;

	if (handle & CT_SMALL_BOX) {
		small = small_boxes.lookup(&index);
		if (!small)
			return 0;
		ct_step(&small->head.seq);
		ct_fill_head(&small->head, user, record, touch, which);
		small->head.length = ct_copy_small(small, user->sp, size);
		ct_step(&small->head.seq);
		return 1;
	}
	box = boxes.lookup(&index);
	if (!box)
		return 0;
	ct_step(&box->head.seq);
	ct_fill_head(&box->head, user, record, touch, which);
	box->head.length = ct_copy_stack(box, user->sp, size);
	ct_step(&box->head.seq);
	return 1;
}

/* Only one thread at a time writes the touches of a record; the others give way and say so. */
static __always_inline int ct_try_lock(struct ct_record *record)
{
	u32 busy;

	__sync_fetch_and_add(&record->busy, 1);
	busy = *(volatile u32 *)&record->busy;
	if (busy == 1)
		return 1;
	/* It was -1: run_drain let go of a record that had ended and whose memory serves another socket by now. */
	__sync_fetch_and_add(&record->busy, busy == 0 ? 1 : -1);
	return busy == 0;
}

/* For the end of a record: nobody but run_drain can hold the lock then, and not for long. Never given back. */
static __always_inline int ct_lock_for_good(struct ct_record *record)
{
#pragma unroll
	for (int i = 0; i < 8; i++)
		if (ct_try_lock(record))
			return 1;
	return 0;
}

static __always_inline void ct_unlock(struct ct_record *record) { __sync_fetch_and_add(&record->busy, -1); }

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

/* Registers and stack for a touch that is already filled. Gives the box back where there is nothing to keep in it. */
static __always_inline void ct_box_touch(struct ct_record *record, struct ct_touch *touch, struct ct_user *user,
					 u16 which)
{
	u64 size;

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
	size = ct_stack_size(user);
	touch->box = ct_box_of(touch, size && size <= CT_SMALL_STACK);
	if (!touch->box || !ct_fill_box(touch->box, size, user, record, touch, which))
		touch->flags |= CT_TOUCH_NO_BOX;
	return;
drop:
	ct_free_box(touch->box);
	touch->box = 0;
}

/* Writes one touch of a record whose lock is held. */
static __always_inline void ct_write_touch(struct ct_record *record, struct ct_touch *touch, u16 which, u32 op, s32 ret,
					   u32 flags, u64 now)
{
	struct ct_user user = {};

	ct_user_of_task(&user);
	ct_fill_touch(touch, user.task, op, ret, flags, now);
	ct_box_touch(record, touch, &user, which);
}

static __always_inline void ct_contended(struct ct_record *record)
{
	__sync_fetch_and_add(&record->missed, 1);
	ct_count(CT_LOST_CONTENDED);
}

/* Writes one touch of a record, whole or not at all. */
static __always_inline void ct_touch(struct ct_record *record, struct ct_touch *touch, u16 which, u32 op, s32 ret,
				     u32 flags, u64 now)
{
	if (!ct_try_lock(record)) {
		ct_contended(record);
		return;
	}
	ct_write_touch(record, touch, which, op, ret, flags, now);
	ct_unlock(record);
}
