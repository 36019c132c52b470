/*
 * What an entry of a cache takes beside its key and value, and that `st_cache_clear` gives all of it back. Resident
 * memory is measured, as the system counts it.
 */
#include <malloc.h>
#include <unistd.h>

#include "check.h"

enum { ENTRIES = 200000, KEY = 32, ROUNDS = 3 };
/* What may be resident for other reasons. */
static const long GENEROUS = 512 << 10;

static st_error error = ST_ERROR_INIT;

/* Returns the resident memory that is not of a file, after what is free is given back. */
static long resident(void) {
    malloc_trim(0);
    long pages, resident, shared;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%ld %ld %ld", &pages, &resident, &shared) == 3);
    fclose(statm);
    return (resident - shared) * sysconf(_SC_PAGESIZE);
}

static void fill(const st_cache *cache, size_t len) {
    static char value[1024];
    char key[KEY + 1];
    for (int i = 0; i < ENTRIES; i++) {
        snprintf(key, sizeof key, "key-of-32-bytes-%016d", i);
        CHECK_OK(st_cache_set(cache, key, KEY, value, len, ST_TTL_DEFAULT, &error));
    }
    st_cache_counts counts = ST_CACHE_COUNTS_INIT;
    CHECK_OK(st_cache_stats(cache, &counts, &error));
    CHECK(counts.entries == ENTRIES);
}

static void measure(size_t len, double most) {
    st_cache *cache = NULL;
    long before = resident();
    CHECK_OK(st_cache_new(3600.0, ENTRIES, 60.0, &cache, &error));
    long empty = resident();
    for (int round = 0; round < ROUNDS; round++) {
        fill(cache, len);
        long full = resident();
        double beside = (double)(full - before) / ENTRIES - KEY - (double)len;
        size_t count = 0;
        CHECK_OK(st_cache_clear(cache, &count, &error));
        CHECK(count == ENTRIES);
        long left = resident() - empty;
        printf("values of %zu bytes: %.1f bytes beside key and value, %ld KiB left by clear\n", len, beside,
               left / 1024);
        CHECK(beside <= most);
        CHECK(left <= GENEROUS);
    }
    st_cache_free(cache);
    CHECK(resident() - before <= GENEROUS);
}

int main(void) {
    /* In the entry. */
    measure(64, 120);
    /* In a block of its own, with a reference count; the place in the entry is unused. */
    measure(1000, 192);
    return 0;
}
