/*
 * Room for entries that was never used takes no memory, not even while `st_cache_clear` and `st_cache_free` give it
 * back. The greatest amount of resident memory so far is measured, so this is a program of its own.
 */
#include "check.h"

/* What may become resident for other reasons; all entries together would take 500 MB. */
static const long GENEROUS = 4 << 20;

static st_error error = ST_ERROR_INIT;

/* Returns a line of /proc/self/status, which is in KiB, in bytes. */
static long status(const char *name) {
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kib = strtol(line + strlen(name), NULL, 10);
        }
    }
    fclose(file);
    CHECK(kib >= 0);
    return kib * 1024;
}

int main(void) {
    st_cache *cache = NULL;
    CHECK_OK(st_cache_new(3600.0, 4000000, 60.0, &cache, &error));
    CHECK_OK(st_cache_set(cache, "key", ST_NUL, "value", 5, ST_TTL_DEFAULT, &error));
    long before = status("VmRSS:");
    CHECK_OK(st_cache_clear(cache, NULL, &error));
    long cleared = status("VmHWM:") - before;
    st_cache_free(cache);
    long freed = status("VmHWM:") - before;
    printf("clear takes up to %ld KiB, free %ld KiB\n", cleared / 1024, freed / 1024);
    CHECK(cleared <= GENEROUS && freed <= GENEROUS);
    return 0;
}
