/*
 * A handle without an st_error is NULL if its memory cannot be allocated, and the process continues.
 */
#include <sys/resource.h>

#include "check.h"

/* Larger than any other allocation of the calls below, and smaller than the built-in caches. */
#define LARGE 8192
#define SMALL 4096

static st_error error = ST_ERROR_INIT;

/* Allocates all memory. Small blocks are still available, each surrounded by blocks that are in use. */
static void exhaust_memory(void) {
    static void *volatile kept;
    void *small[256];
    for (int i = 0; i < 256; i++) {
        CHECK((small[i] = malloc(SMALL)) != NULL);
        CHECK((kept = malloc(64)) != NULL);
    }
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = 1;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (size_t size = 1 << 20; size >= LARGE; size /= 2) {
        while ((kept = malloc(size)) != NULL) {
        }
    }
    for (int i = 0; i < 256; i++) {
        free(small[i]);
    }
    CHECK((kept = malloc(LARGE)) == NULL);
}

int main(void) {
    begin();
    CHECK(st_version_number() == ST_VERSION_NUMBER);
    exhaust_memory();
    CHECK(st_cache_provider_config() == NULL);
    CHECK(st_cache_user_permission() == NULL);
    CHECK_FAILS(st_cache_invalidate_provider("replicate", ST_NUL, NULL, &error), ST_NO_MEMORY, "memory");

    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(st_cache_provider_config() != NULL);
    CHECK(st_cache_user_permission() != NULL);
    CHECK_OK(st_cache_invalidate_provider("replicate", ST_NUL, NULL, &error));
    return 0;
}
