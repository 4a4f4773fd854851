/* SPDX-License-Identifier: GPL-2.0-only */
/* Touches and their black boxes: who called, with which registers, and the top of the user stack, copied raw. */

/*
 * A page at a time, so that the upper end of the stack shortens the copy instead of failing it (a faulting
 * bpf_probe_read_user fails as a whole). Returns the bytes copied.
 */
static __always_inline u32 ct_copy_stack(struct ct_box *box, u64 sp)
{
	u32 gap = sp & (CT_PAGE - 1);
	u64 page = sp - gap;
	u32 length = CT_PAGE - gap;

	if (ct_read_user(box->stack + gap, length, (void *)sp))
		return 0;
#pragma unroll
	for (int i = 1; i < CT_STACK_PAGES; i++) {
		if (ct_read_user(box->stack + i * CT_PAGE, CT_PAGE, (void *)(page + i * CT_PAGE)))
			return length;
		length += CT_PAGE;
	}
	if (!ct_read_user(box->stack, gap, (void *)(page + CT_STACK_PAGES * CT_PAGE)))
		length += gap;
	return length;
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
	return slot + 1;
}

static __always_inline void ct_free_slot(u32 box)
{
	u32 slot = box - 1;
	if (box)
		free_boxes.push(&slot, 0);
}

static __always_inline u32 ct_fill_box(u32 slot, struct pt_regs *regs, u64 sk, u64 birth_ns, struct ct_touch *touch,
				       u16 which)
{
	u32 index = slot - 1;
	struct ct_box *box = boxes.lookup(&index);
	u64 sp = 0;

	if (!box)
		return 0;
	__sync_fetch_and_add(&box->seq, 1);
	box->sk = sk;
	box->birth_ns = birth_ns;
	box->ns = touch->ns;
	box->pid = touch->pid;
	box->tid = touch->tid;
	box->touch_seq = touch->seq;
	box->which = which;
	ct_read_kernel(box->registers, sizeof(box->registers), regs);
	ct_read_kernel(&sp, sizeof(sp), &regs->CT_PT_REGS_SP);
	box->length = ct_copy_stack(box, sp);
	__sync_fetch_and_add(&box->seq, 1);
	return 1;
}

/* Only one thread at a time writes the touches of a record; the others give way and say so. */
static __always_inline int ct_try_lock(struct ct_record *record)
{
	__sync_fetch_and_add(&record->busy, 1);
	if (*(volatile u32 *)&record->busy == 1)
		return 1;
	__sync_fetch_and_add(&record->busy, -1);
	return 0;
}

static __always_inline void ct_unlock(struct ct_record *record) { __sync_fetch_and_add(&record->busy, -1); }

static __always_inline void ct_fill_touch(struct ct_touch *touch, u32 op, s32 ret, u32 flags, u64 now)
{
	u64 id = bpf_get_current_pid_tgid();

	touch->ns = now;
	touch->ret = ret;
	touch->pid = id >> 32;
	touch->tid = (u32)id;
	touch->op = op;
	touch->flags = flags;
	touch->stack = 0;
	touch->seq++;
	bpf_get_current_comm(touch->comm, sizeof(touch->comm));
}

/* Registers and stack for a touch that is already filled. Gives the box back where there is nothing to keep in it. */
static __always_inline void ct_box_touch(struct ct_record *record, struct ct_touch *touch, u16 which)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u32 task_flags = ct_task_flags(task);
	struct pt_regs *regs;
	u64 number = -1, cs = 0;
	u32 slot;

	touch->syscall = -1;
	if (task_flags & (CT_PF_KTHREAD | CT_PF_IO_WORKER)) {
		touch->flags |= CT_TOUCH_KERNEL;
		goto drop;
	}
	regs = ct_user_registers(task);
	ct_read_kernel(&number, sizeof(number), &regs->CT_PT_REGS_SYSCALL);
	touch->syscall = (s32)number;
	if (task_flags & CT_PF_EXITING) {
		touch->flags |= CT_TOUCH_EXITING;
		goto drop;
	}
	ct_read_kernel(&cs, sizeof(cs), &regs->cs);
	if ((u16)cs != CT_USER_CS) {
		touch->flags |= CT_TOUCH_COMPAT;
		goto drop;
	}
	if (touch->flags & CT_TOUCH_UNWANTED)
		goto drop;
	slot = ct_slot_of(touch);
	touch->box = slot;
	if (!slot || !ct_fill_box(slot, regs, record->sk, record->birth_ns, touch, which))
		touch->flags |= CT_TOUCH_NO_BOX;
	return;
drop:
	ct_free_slot(touch->box);
	touch->box = 0;
}

/* Writes one touch of a record, whole or not at all. */
static __always_inline void ct_touch(struct ct_record *record, struct ct_touch *touch, u16 which, u32 op, s32 ret,
				     u32 flags, u64 now)
{
	if (!ct_try_lock(record)) {
		__sync_fetch_and_add(&record->missed, 1);
		ct_count(CT_LOST_CONTENDED);
		return;
	}
	ct_fill_touch(touch, op, ret, flags, now);
	ct_box_touch(record, touch, which);
	ct_unlock(record);
}
