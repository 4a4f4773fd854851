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

/* Copies the stack from sp up to limit at most, if there is one above sp. Returns the bytes copied. */
static __always_inline u32 ct_copy_stack(struct ct_box *box, u64 sp, u64 limit)
{
	u64 want = limit - sp;

	if (limit <= sp || want > CT_STACK_BYTES)
		return ct_copy_pages(box, sp, CT_STACK_BYTES);
	if (!ct_read_user(box->stack, CT_AT_MOST(want, CT_STACK_BYTES), (void *)sp))
		return want;
	return ct_copy_pages(box, sp, want);
}

/* The touch's own slot, or one from the pool; 0 if the stack memory is spent. */
static __always_inline u32 ct_slot_of(struct ct_touch *touch)
{
	u32 slot = 0;

	if (touch->box)
		return touch->box;
	if (free_boxes.pop(&slot)) {
		ct_count(CT_LOST_BOXES);
		return 0;
	}
	ct_count(CT_N_BOXES_TAKEN);
	return slot + 1;
}

static __always_inline void ct_free_slot(u32 box)
{
	u32 slot = box - 1;
	if (box && !free_boxes.push(&slot, 0))
		ct_count(CT_N_BOXES_FREED);
}

/*
 * A box has one writer, the holder of its record's lock, and x86 makes its stores visible in their order, so that no
 * locked instruction is needed, which would wait for all stores before it. The compiler must keep the order, too.
 */
static __always_inline void ct_step(u32 *seq)
{
	asm volatile("" ::: "memory");
	*(volatile u32 *)seq = *seq + 1;
	asm volatile("" ::: "memory");
}

static __always_inline u32 ct_fill_box(u32 slot, struct ct_user *user, struct ct_record *record, struct ct_touch *touch,
				       u16 which)
{
	u32 index = slot - 1;
	struct ct_box *box = boxes.lookup(&index);

	if (!box)
		return 0;
	ct_step(&box->seq);
	box->sk = record->sk;
	box->birth_ns = record->birth_ns;
	box->ns = touch->ns;
	box->pid = touch->pid;
	box->tid = touch->tid;
	box->touch_seq = touch->seq;
	box->which = which;
	ct_copy_registers(box->registers, user->regs);
	box->length = ct_copy_stack(box, user->sp, ct_stack_end(user->task, user->sp));
	ct_step(&box->seq);
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
	u32 slot;

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
	slot = ct_slot_of(touch);
	touch->box = slot;
	if (!slot || !ct_fill_box(slot, user, record, touch, which))
		touch->flags |= CT_TOUCH_NO_BOX;
	return;
drop:
	ct_free_slot(touch->box);
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
