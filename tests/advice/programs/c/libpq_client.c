/* libpq has no pool: a connection stays until PQfinish. */
#include <libpq-fe.h>

#include "led.h"

static PGconn *kept[COUNT];

static PGconn *asked(const char *port)
{
	char where[128];
	PGconn *connection;

	snprintf(where, sizeof(where), "host=127.0.0.1 port=%s user=postgres dbname=postgres", port);
	connection = PQconnectdb(where);
	if (PQstatus(connection) != CONNECTION_OK)
		exit(1);
	PQclear(PQexec(connection, "SELECT 1"));
	return connection;
}

static void idle(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		kept[i] = asked(port);
}

static void finished(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		PQfinish(asked(port));
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = {{"idle", idle}, {"finished", finished}, {NULL, NULL}};

	return lead(argc, argv, modes);
}
