/* SPDX-License-Identifier: GPL-2.0-only */
/* The current task: is it in scope, what user registers does it have. Meaningful in system-call context only. */

#define CT_PF_EXITING 0x00000004
#define CT_PF_IO_WORKER 0x00000010
#define CT_PF_KTHREAD 0x00200000
/* x86-64, kernel built without KASAN; used only where bpf_task_pt_regs (5.15) is missing. */
#define CT_THREAD_SIZE 16384

#ifdef CT_COMM_LOW
static __always_inline int ct_has_comm(void)
{
	u64 comm[2] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	return comm[0] == CT_COMM_LOW && comm[1] == CT_COMM_HIGH;
}
#endif

static __always_inline int ct_task_in_scope(void)
{
#if defined(CT_PIDS) || defined(CT_SCOPE_FORKS) || defined(CT_COMM_LOW)
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
	if (!ct_has_comm() && !scope_programs.lookup(&tgid))
		return 0;
#endif
#ifdef CT_CGROUP_ID
	if (bpf_get_current_ancestor_cgroup_id(CT_CGROUP_LEVEL) != CT_CGROUP_ID)
		return 0;
#endif
	return 1;
}

/* The current task as a system call left it: where its user registers lie, and what was in some of them. */
struct ct_user {
	struct task_struct *task;
	struct pt_regs *regs;
	u32 flags;
	u64 syscall;
	u64 cs;
	u64 sp;
};

#ifdef CT_HAVE_TASK_PT_REGS
/* The verifier knows these pointers: plain loads, where each bpf_probe_read would cost some 15 ns. */
#define CT_TASK_READ(to, place) to = place
#else
#define CT_TASK_READ(to, place) ct_read_kernel(&to, sizeof(to), &place)
#endif

static __always_inline void ct_user_of_task(struct ct_user *user)
{
#ifdef CT_HAVE_TASK_PT_REGS
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
#else
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	void *stack = 0;
	ct_read_kernel(&stack, sizeof(stack), &task->stack);
	struct pt_regs *regs = (struct pt_regs *)(stack + CT_THREAD_SIZE) - 1;
#endif
	user->task = task;
	user->regs = regs;
	CT_TASK_READ(user->flags, task->flags);
	CT_TASK_READ(user->syscall, regs->CT_PT_REGS_SYSCALL);
	CT_TASK_READ(user->cs, regs->cs);
	CT_TASK_READ(user->sp, regs->CT_PT_REGS_SP);
}

/* Who it is, without a helper where loads do. */
static __always_inline void ct_identify(struct ct_touch *touch, struct task_struct *task)
{
#ifdef CT_HAVE_TASK_PT_REGS
	touch->pid = task->tgid;
	touch->tid = task->pid;
#pragma unroll
	for (int i = 0; i < sizeof(touch->comm) / sizeof(u64); i++)
		((u64 *)touch->comm)[i] = ((u64 *)task->comm)[i];
#else
	u64 id = bpf_get_current_pid_tgid();

	touch->pid = id >> 32;
	touch->tid = (u32)id;
	bpf_get_current_comm(touch->comm, sizeof(touch->comm));
#endif
}

static __always_inline void ct_copy_registers(u64 *to, struct pt_regs *regs)
{
#ifdef CT_HAVE_TASK_PT_REGS
#pragma unroll
	for (int i = 0; i < CT_REGISTERS; i++)
		to[i] = ((u64 *)regs)[i];
#else
	ct_read_kernel(to, CT_REGISTERS * sizeof(u64), regs);
#endif
}

/* Stacks of first threads may grow to megabytes. The kernel keeps 128 MiB free below the first thread's (mmap_base in
 * arch/x86/mm/mmap.c), so nothing else lies so near to its start. */
#define CT_MOST_STACK (128u << 20)
/* glibc gives other threads 8 MiB as a rule. */
#define CT_MOST_THREAD_STACK (8u << 20)

/* Whether a thread's control block lies here: its first word is its own address (ELF TLS ABI for x86-64, 3.4.6). */
static __always_inline int ct_is_control_block(u64 thread)
{
	u64 self = 0;

	return !ct_read_user(&self, sizeof(self), (void *)thread) && self == thread;
}

/*
 * Where the stack around sp ends at the latest. The first thread's: what execve put above it (arguments, environment)
 * is no stack. Another thread's: its control block, which glibc and musl lay on top of its stack, and which the thread
 * pointer points to. The second is taken only if it lies above sp, and, farther than a usual box reaches, only if it is
 * a control block: Go's thread pointers point into its heap, where its stacks are.
 */
static __always_inline u64 ct_stack_end(struct task_struct *task, u64 sp)
{
	struct mm_struct *mm = 0;
	u64 thread = 0, start = 0;

	CT_TASK_READ(thread, task->CT_TASK_THREAD_POINTER);
	if (thread > sp &&
	    (thread - sp < CT_STACK_BYTES || (thread - sp < CT_MOST_THREAD_STACK && ct_is_control_block(thread))))
		return thread;
	CT_TASK_READ(mm, task->mm);
	if (mm)
		CT_TASK_READ(start, mm->start_stack);
	return start;
}

/* The number of the system call that the current task is in; -1 for a task that is not in one. */
static __always_inline s32 ct_current_syscall(void)
{
	struct ct_user user = {};

	ct_user_of_task(&user);
	return user.flags & (CT_PF_KTHREAD | CT_PF_IO_WORKER) ? -1 : (s32)user.syscall;
}

/* In a call that moves data: whatever it does to the connection, it does not close the descriptor. */
static __always_inline int ct_in_data_call(void)
{
	struct ct_user user = {};

	ct_user_of_task(&user);
	return !(user.flags & CT_PF_EXITING) && CT_DATA_SYSCALL((s32)user.syscall);
}
