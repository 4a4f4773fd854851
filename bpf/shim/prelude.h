/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in for a kernel header tree: bcc includes include/linux/kconfig.h first, always. The types that follow come
 * from the running kernel's BTF; what BTF cannot hold (macros) is here.
 */
#pragma once

/* The uapi headers that bcc brings along would define the BTF's types a second time. */
#define __LINUX_BPF_H__
#define _UAPI__LINUX_BPF_H__
#define BPF_NO_PRESERVE_ACCESS_INDEX

#define CONFIG_BPF_SYSCALL 1
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#define PAGE_SIZE 4096
#define __always_inline inline __attribute__((always_inline))
#define roundup_pow_of_two(n) (1UL << (64 - __builtin_clzl((n)-1)))

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef unsigned long uintptr_t;
typedef unsigned long size_t;
typedef _Bool bool;

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };

/* Named in bcc's helper prototypes, used by none of our programs. */
struct __sk_buff;
struct bpf_fib_lookup;
struct bpf_perf_event_value;
struct bpf_pidns_info;
struct bpf_redir_neigh;
struct bpf_sock;
struct bpf_sock_addr;
struct bpf_sock_ops;
struct bpf_sock_tuple;
struct bpf_spin_lock;
struct bpf_sysctl;
struct bpf_tcp_sock;
struct bpf_timer;
struct btf_ptr;
struct iphdr;
struct ipv6hdr;
struct sk_msg_md;
struct sk_reuseport_md;
struct tcphdr;
struct xdp_md;
struct bpf_stack_build_id {
	__s32 status;
	unsigned char build_id[20];
	__u64 offset;
};
