/* SPDX-License-Identifier: GPL-2.0-only */
/* `closetrace run`: the children of what is in scope are in scope. */

#ifdef CT_SCOPE_FORKS
static __always_inline int ct_fork(struct task_struct *parent, struct task_struct *child)
{
	u32 from = 0, to = 0, one = 1;

	ct_read_kernel(&from, sizeof(from), &parent->tgid);
	ct_read_kernel(&to, sizeof(to), &child->tgid);
	if (from != to && scope_pids.lookup(&from))
		scope_pids.update(&to, &one);
	return 0;
}
#endif
