/* hiredis has no pool: a connection stays until redisFree. */
#include <hiredis/hiredis.h>

#include "led.h"

static redisContext *kept[COUNT];

static redisContext *asked(const char *port)
{
	redisContext *connection = redisConnect("127.0.0.1", atoi(port));
	redisReply *reply;

	if (!connection || connection->err)
		exit(1);
	reply = redisCommand(connection, "PING");
	if (!reply)
		exit(1);
	freeReplyObject(reply);
	return connection;
}

static void idle(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		kept[i] = asked(port);
}

static void freed(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		redisFree(asked(port));
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = {{"idle", idle}, {"freed", freed}, {NULL, NULL}};

	return lead(argc, argv, modes);
}
