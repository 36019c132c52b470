/*
 * When entries expire while the clocks of the machine go wrong in the ways that the header names. The library calls the
 * `clock_gettime` of this program, which the test controls.
 */
#include <math.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static const long long SECOND = 1000000000, MILLISECOND = 1000000;
enum { TTL = 60 };

/* The time since the machine booted, how much of it the machine was suspended, and the lag of the coarse clock. */
static long long since_boot, suspended, lag;
static st_error error = ST_ERROR_INIT;
static st_cache *cache;

int clock_gettime(clockid_t clock, struct timespec *time) {
    long long now;
    switch (clock) {
    case CLOCK_BOOTTIME:
        now = since_boot;
        break;
    case CLOCK_MONOTONIC:
        now = since_boot - suspended;
        break;
    case CLOCK_MONOTONIC_COARSE:
        now = since_boot - suspended - lag;
        break;
    default:
        return (int)syscall(SYS_clock_gettime, clock, time);
    }
    *time = (struct timespec){.tv_sec = (time_t)(now / SECOND), .tv_nsec = (long)(now % SECOND)};
    return 0;
}

static int found(const char *key) {
    char buffer[8];
    size_t len;
    st_status status = st_cache_get_into(cache, key, ST_NUL, buffer, sizeof buffer, &len, &error);
    CHECK(status == ST_OK || status == ST_NOT_FOUND);
    return status == ST_OK;
}

static void set(const char *key) {
    CHECK_OK(st_cache_set(cache, key, ST_NUL, "value", ST_NUL, TTL, &error));
}

static void suspend(long long time) {
    since_boot += time;
    suspended += time;
}

/* An entry expires on time however late the kernel updates the coarse clock, up to the lag that the header names. */
static void lags(void) {
    const long long expected[] = {0, 4, 28, 99};
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        lag = 0;
        set("key");
        long long end = since_boot + TTL * SECOND;
        lag = expected[i] * MILLISECOND;
        since_boot = end - 1;
        CHECK(found("key"));
        since_boot = end;
        CHECK(!found("key"));
        /* Beyond that, it is returned for as much longer as the clock lags more. */
        lag = 0;
        set("key");
        end = since_boot + TTL * SECOND;
        lag = (100 + expected[i]) * MILLISECOND;
        since_boot = end + expected[i] * MILLISECOND;
        CHECK(!found("key"));
    }
    lag = 0;
    since_boot += SECOND;
}

/* After the machine was suspended, expired entries are returned for 100 ms at most, and others are not lost. */
static void suspensions(void) {
    const long long times[] = {TTL, 3600, 30 * 86400};
    for (unsigned i = 0; i < sizeof times / sizeof *times; i++) {
        set("expires");
        CHECK_OK(st_cache_set(cache, "stays", ST_NUL, "value", ST_NUL, 1e9, &error));
        CHECK(found("expires"));
        suspend(times[i] * SECOND);
        since_boot += 100 * MILLISECOND;
        CHECK(!found("expires"));
        CHECK(found("stays"));
        /* What is stored after that lives as long as it should. */
        set("after");
        since_boot += TTL * SECOND - 1;
        CHECK(found("after"));
        since_boot += 1;
        CHECK(!found("after"));
    }
}

int main(void) {
    since_boot = 1000 * SECOND;
    CHECK_OK(st_cache_new(TTL, 100, INFINITY, &cache, &error));
    set("key");
    CHECK(found("key"));
    since_boot += TTL * SECOND;
    /* Otherwise the library does not call this clock. */
    CHECK(!found("key"));
    lags();
    suspensions();
    st_cache_free(cache);
    return 0;
}
