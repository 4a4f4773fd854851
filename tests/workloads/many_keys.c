/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD that takes keys of pthread_getspecific(3) before the program does: glibc keeps further ones
 * in other blocks than the first 32. */
#include <pthread.h>

__attribute__((constructor)) static void take(void)
{
	pthread_key_t key;

	for (int n = 0; n < 40; n++)
		pthread_key_create(&key, 0);
}
