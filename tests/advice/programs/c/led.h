/* How a cell's program in C is led: "ready", a line on stdin, its work, "done", and the end of stdin. */
#ifndef LED_H
#define LED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 3

struct mode {
	const char *name;
	void (*run)(const char *port);
};

static inline int lead(int argc, char **argv, const struct mode *modes)
{
	char line[8];

	if (argc < 3)
		return 2;
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (; modes->name; modes++)
		if (!strcmp(modes->name, argv[1]))
			modes->run(argv[2]);
	puts("done");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		;
	return 0;
}

#endif
