/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touches of processes with an interpreter. Its frames are told by a program of their language (bpf/languages/), which
 * the hook's program calls as its last deed: so it is verified once for each type of program, and loaded only when
 * there is such a process.
 */

#define CT_ANY_LANGUAGE 0xff
#define CT_RB_FORCE_WAKEUP 2 /* BPF_RB_FORCE_WAKEUP: others may lie in the ring that were put there without */

#ifdef CT_INTERPRETERS
static __always_inline u64 *ct_known_language(u32 tgid)
{
	u64 place = tgid % CT_LANGUAGES_KNOWN; /* see ct_count */

	return languages.lookup(&place);
}

/* Has user space look at a thread group, once. */
static __always_inline void ct_ask(u32 tgid)
{
	u32 zero = 0;
	struct ct_interpreter *nothing = unlooked.lookup(&zero);

	if (nothing && !interpreters.insert(&tgid, nothing) &&
	    asked.ringbuf_output(&tgid, sizeof(tgid), CT_RB_FORCE_WAKEUP))
		interpreters.delete(&tgid); /* too many at once: it asks again */
}

#define CT_NOT_LOOKED_AT 0x10000
#define CT_MARKS(language) ((language) >> 8 & 255)

/* The first four bytes of what is known. */
static __always_inline u32 ct_told_of(struct ct_interpreter *known) { return *(u32 *)known; }

/*
 * What holds for all processes of the caller's program, 0 if nothing is known of it. A read that is not possible gives
 * zeroes, and no file has these.
 */
static __always_inline struct ct_interpreter *ct_of_program(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct ct_program program = {.uid = bpf_get_current_uid_gid()};
	struct mm_struct *mm = 0;
	struct file *file = 0;
	struct inode *inode = 0;
	struct super_block *block = 0;

	ct_read_kernel(&mm, sizeof(mm), &task->mm);
	ct_read_kernel(&file, sizeof(file), &mm->exe_file);
	ct_read_kernel(&inode, sizeof(inode), &file->f_inode);
	ct_read_kernel(&program.inode, sizeof(program.inode), &inode->i_ino);
	ct_read_kernel(&program.size, sizeof(program.size), &inode->i_size);
	ct_read_kernel(&block, sizeof(block), &inode->i_sb);
	ct_read_kernel(&program.device, sizeof(program.device), &block->s_dev);
	return known_programs.lookup(&program);
}

/*
 * The first touch of a thread group. Where its program is known, it has the interpreter's frames already. User space
 * looks at the process in any case, and corrects what is told here.
 */
static __always_inline u32 ct_first_told(u32 tgid)
{
	struct ct_interpreter *known = ct_of_program();

	if (!known || interpreters.insert(&tgid, known))
		return CT_NOT_LOOKED_AT;
	if (!asked.ringbuf_output(&tgid, sizeof(tgid), CT_RB_FORCE_WAKEUP))
		return ct_told_of(known);
	interpreters.delete(&tgid);
	return CT_NOT_LOOKED_AT;
}

/*
 * Whose frames are to be told of a thread group: CT_ANY_LANGUAGE has the number, 0 if nobody's. CT_MARKS has what to
 * mark records with. For ct_finish.
 */
static __always_inline u32 ct_language_of(u64 tgid)
{
	u64 *answer = ct_known_language(tgid);
	struct ct_interpreter *known;

	if (answer && (u32)*answer == tgid)
		return *answer >> 32;
	known = interpreters.lookup(&tgid);
	return known ? ct_told_of(known) : ct_first_told(tgid);
}

/* What a hook's program leaves to the language's: the box of the touch, and in the low half whose frames to tell. */
#define CT_LEFT(box, language) ((u64)(box) << 32 | (language))
#define CT_LEFT_BOX(left) ((left) >> 32)

/*
 * The end of a hook's program, with what it leaves (CT_LEFT). Where the language has no program (yet), the call does
 * nothing. The numbers are constants, so that the kernel makes jumps of the calls.
 */
static __always_inline int ct_finish(void *ctx, u64 left)
{
	u64 number = left & CT_ANY_LANGUAGE, zero = 0, *to;

	if (number) {
		to = handover.lookup(&zero);
		if (!to)
			return 0;
		*to = left;
#pragma unroll
		for (u32 i = 0; i < CT_LANGUAGES; i++) {
			if (number != i + 1)
				continue;
			interpreter_programs.call(ctx, i);
			CT_OWN_CALL(i);
		}
	} else if (left & CT_NOT_LOOKED_AT)
		ct_ask(bpf_get_current_pid_tgid() >> 32);
	return 0;
}

/*
 * A child has its parent's memory. Where that is not looked at for good, the child asks for itself. Its number may have
 * been another process's before.
 */
static __always_inline void ct_inherit_interpreter(u32 from, u32 to)
{
	struct ct_interpreter *known = interpreters.lookup(&from);
	u64 *answer = ct_known_language(to);

	if (known && known->sure && !interpreters.update(&to, known)) {
		if (answer)
			*answer = (u64)ct_told_of(known) << 32 | to;
		return;
	}
	interpreters.delete(&to);
	if (answer && (u32)*answer == to)
		*answer = 0;
}

/* Another program, or none any more. */
static __always_inline void ct_forget_interpreter(u32 tgid)
{
	u64 *answer = ct_known_language(tgid);

	interpreters.delete(&tgid);
	if (answer && (u32)*answer == tgid)
		*answer = 0;
}
#else
#define CT_LEFT(box, language) 0
static __always_inline int ct_finish(void *ctx, u64 left) { return 0; }
#endif
