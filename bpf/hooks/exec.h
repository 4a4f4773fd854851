/* SPDX-License-Identifier: GPL-2.0-only */
/* When a process last took another program: a stack from before can no longer be read. In the new program, by exec. */

#ifdef CT_EXECS
static __always_inline int ct_execed(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct ct_exec first = {.ns = bpf_ktime_get_ns(), .count = 1}, *known;

#ifdef CT_INTERPRETERS
	ct_forget_interpreter(tgid); /* children of those in scope, too: they may have inherited a socket */
#endif
#ifdef CT_COMM_LOW
	ct_turn_to();
#endif
#ifdef CT_PIDS
	if (!(CT_PIDS(tgid)))
		return 0;
#endif
#ifdef CT_SCOPE_FORKS
	if (!scope_pids.lookup(&tgid))
		return 0;
#endif
#if defined(CT_INTERPRETERS) && (defined(CT_PIDS) || defined(CT_SCOPE_FORKS))
	/* It may have an interpreter by the time of its first touch; if not, it asks for itself then. */
	asked.ringbuf_output(&tgid, sizeof(tgid), CT_RB_NO_WAKEUP);
#endif
	known = execs.lookup(&tgid);
	if (known) {
		known->ns = first.ns;
		known->count++;
	} else
		execs.update(&tgid, &first);
	return 0;
}
#endif
