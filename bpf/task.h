/* SPDX-License-Identifier: GPL-2.0-only */
/* The current task: is it in scope, what user registers does it have. Meaningful in system-call context only. */

#define CT_PF_EXITING 0x00000004
#define CT_PF_IO_WORKER 0x00000010
#define CT_PF_KTHREAD 0x00200000
/* x86-64, kernel built without KASAN; used only where bpf_task_pt_regs (5.15) is missing. */
#define CT_THREAD_SIZE 16384

static __always_inline int ct_task_in_scope(void)
{
#if defined(CT_PIDS) || defined(CT_SCOPE_FORKS)
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
#endif
#ifdef CT_PIDS
	if (!(CT_PIDS(tgid)))
		return 0;
#endif
#ifdef CT_SCOPE_FORKS
	if (!scope_pids.lookup(&tgid))
		return 0;
#endif
#ifdef CT_COMM_LOW
	u64 comm[2] = {};
	bpf_get_current_comm(comm, sizeof(comm));
	if (comm[0] != CT_COMM_LOW || comm[1] != CT_COMM_HIGH)
		return 0;
#endif
#ifdef CT_CGROUP_ID
	if (bpf_get_current_ancestor_cgroup_id(CT_CGROUP_LEVEL) != CT_CGROUP_ID)
		return 0;
#endif
	return 1;
}

static __always_inline u32 ct_task_flags(struct task_struct *task)
{
	u32 flags = 0;
	ct_read_kernel(&flags, sizeof(flags), &task->flags);
	return flags;
}

/* Where the user registers of the current task were saved on entry to the kernel. */
static __always_inline struct pt_regs *ct_user_registers(struct task_struct *task)
{
#ifdef CT_HAVE_TASK_PT_REGS
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#else
	void *stack = 0;
	ct_read_kernel(&stack, sizeof(stack), &task->stack);
	return (struct pt_regs *)(stack + CT_THREAD_SIZE) - 1;
#endif
}

/* The number of the system call that the current task is in; -1 for a task that is not in one. */
static __always_inline s32 ct_current_syscall(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	u64 number = -1;

	if (ct_task_flags(task) & (CT_PF_KTHREAD | CT_PF_IO_WORKER))
		return -1;
	ct_read_kernel(&number, sizeof(number), &ct_user_registers(task)->CT_PT_REGS_SYSCALL);
	return (s32)number;
}

/* In a call that moves data: whatever it does to the connection, it does not close the descriptor. */
static __always_inline int ct_in_data_call(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	s32 number = ct_current_syscall();

	return !(ct_task_flags(task) & CT_PF_EXITING) && CT_DATA_SYSCALL(number);
}
