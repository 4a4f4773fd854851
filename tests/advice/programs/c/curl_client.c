/* libcurl: a handle looks at the connections that it keeps, their age included, only when it is used again. */
#include <curl/curl.h>

#include "led.h"

static CURL *kept[COUNT];

static size_t swallow(char *data, size_t size, size_t count, void *nothing)
{
	(void)data;
	(void)nothing;
	return size * count;
}

static CURL *asked(const char *port, CURLoption option, long value)
{
	char url[64];
	CURL *handle = curl_easy_init();

	snprintf(url, sizeof(url), "http://127.0.0.1:%s/200/12", port);
	curl_easy_setopt(handle, CURLOPT_URL, url);
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(handle, option, value);
	if (curl_easy_perform(handle) != CURLE_OK)
		exit(1);
	return handle;
}

static void idle(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		kept[i] = asked(port, CURLOPT_NOPROGRESS, 1);
}

static void aging(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		kept[i] = asked(port, CURLOPT_MAXAGE_CONN, 1);
}

static void forbidden(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		kept[i] = asked(port, CURLOPT_FORBID_REUSE, 1);
}

static void cleaned_up(const char *port)
{
	for (int i = 0; i < COUNT; i++)
		curl_easy_cleanup(asked(port, CURLOPT_NOPROGRESS, 1));
}

int main(int argc, char **argv)
{
	static const struct mode modes[] = {
		{"idle", idle}, {"aging", aging}, {"forbidden", forbidden}, {"cleaned_up", cleaned_up}, {NULL, NULL},
	};

	return lead(argc, argv, modes);
}
