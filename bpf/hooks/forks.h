/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that come, change their program and go: who made whom, and which of them are in scope. With children in
 * scope (`closetrace run`, --children) a child of what is in scope is, too. With a program's name (--comm) whoever runs
 * that program is, from the exec that gives it the name on; a child of it runs the same program until its own exec.
 */

static __always_inline int ct_fork(struct task_struct *parent, struct task_struct *child)
{
	struct ct_made made = {.ns = bpf_ktime_get_ns()};
	u32 from = 0, to = 0, one = 1;

	ct_read_kernel(&from, sizeof(from), &parent->tgid);
	ct_read_kernel(&to, sizeof(to), &child->tgid);
	if (from == to)
		return 0;
	made.by = from;
	(void)one;
	parents.update(&to, &made);
#ifdef CT_INTERPRETERS
	ct_inherit_interpreter(from, to);
#endif
#ifdef CT_SCOPE_FORKS
	if (scope_pids.lookup(&from) && scope_pids.update(&to, &one))
		ct_count(CT_LOST_RECORDS);
#endif
#ifdef CT_COMM_LOW
	if (scope_programs.lookup(&from) && scope_programs.update(&to, &one))
		ct_count(CT_LOST_RECORDS);
#endif
	return 0;
}

#ifdef CT_COMM_LOW
/* The kernel has just named the task after its new program. */
static __always_inline void ct_turn_to(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32, one = 1;

	if (ct_has_comm()) {
		if (scope_programs.update(&tgid, &one))
			ct_count(CT_LOST_RECORDS);
		return;
	}
#ifndef CT_PROGRAMS_CHILDREN
	scope_programs.delete(&tgid);
#endif
}
#endif

#if defined(CT_SCOPE_FORKS) || defined(CT_COMM_LOW)
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
	if (live)
		return 0;
#ifdef CT_SCOPE_FORKS
	scope_pids.delete(&tgid);
#endif
#ifdef CT_COMM_LOW
	scope_programs.delete(&tgid);
#endif
#ifdef CT_INTERPRETERS
	ct_forget_interpreter(tgid);
#endif
	return 0;
}
#endif
