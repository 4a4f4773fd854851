/* SPDX-License-Identifier: GPL-2.0-only */
/* `closetrace run`: the children of what is in scope are in scope. */

#ifdef CT_SCOPE_FORKS
static __always_inline int ct_fork(struct task_struct *parent, struct task_struct *child)
{
	u32 from = 0, to = 0, one = 1;

	ct_read_kernel(&from, sizeof(from), &parent->tgid);
	ct_read_kernel(&to, sizeof(to), &child->tgid);
	if (from != to && scope_pids.lookup(&from) && scope_pids.update(&to, &one))
		ct_count(CT_LOST_RECORDS);
	return 0;
}

/* With the last thread of a process its number is free for others. Its sockets are closed after this, and have records.
 */
static __always_inline int ct_exit(struct task_struct *task)
{
	struct signal_struct *group = 0;
	int live = 0;
	u32 tgid = 0;

	ct_read_kernel(&group, sizeof(group), &task->signal);
	ct_read_kernel(&live, sizeof(live), &group->live);
	ct_read_kernel(&tgid, sizeof(tgid), &task->tgid);
	if (!live)
		scope_pids.delete(&tgid);
	return 0;
}
#endif
