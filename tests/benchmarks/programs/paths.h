/* SPDX-License-Identifier: Apache-2.0 */
/* Ten levels with one of two functions at each: 1024 call paths to use(), which the program defines. */
#ifndef PATHS_H
#define PATHS_H

static int use(unsigned turn);

#define LEVELS 10
static int left(unsigned path, int level, unsigned turn);
static int right(unsigned path, int level, unsigned turn);

static inline int step(unsigned path, int level, unsigned turn)
{
	if (level == LEVELS)
		return use(turn);
	return path & (1u << level) ? right(path, level + 1, turn) : left(path, level + 1, turn);
}

__attribute__((noipa)) static int left(unsigned path, int level, unsigned turn)
{
	int fd = step(path, level, turn);
	__asm__ volatile("");
	return fd;
}

__attribute__((noipa)) static int right(unsigned path, int level, unsigned turn)
{
	int fd = step(path, level, turn);
	__asm__ volatile("" ::"r"(level));
	return fd;
}

#endif
