/*
 * Prints the time of one call for an available value, the minimum of many rounds, with 50 environment variables; and
 * the memory of a process that has a manager.
 *   get FILE FILE_KEY ENV_KEY AWS_KEY
 *   get once N FILE KEY    gets one key N times, for a profiler
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 60, CALLS = 20000, VARIABLES = 50, MOST_THREADS = 2 };

extern char **environ;

static const st_secrets *secrets;
static st_cache *cache;
static double hit;

static void get_bytes(const char *key, size_t len) {
    st_bytes value;
    if (st_secrets_get(secrets, key, len, &value, NULL) != ST_OK) {
        exit(1);
    }
    st_bytes_free(&value);
}

static void get_into(const char *key, size_t len) {
    char buffer[256];
    size_t size;
    if (st_secrets_get_into(secrets, key, len, buffer, sizeof buffer, &size, NULL) != ST_OK) {
        exit(1);
    }
}

static void cache_hit(const char *key, size_t len) {
    char buffer[256];
    size_t size;
    if (st_cache_get_into(cache, key, len, buffer, sizeof buffer, &size, NULL) != ST_OK) {
        exit(1);
    }
}

static void miss(const char *key, size_t len) {
    st_bytes value;
    if (st_secrets_get(secrets, key, len, &value, NULL) != ST_NOT_FOUND) {
        exit(1);
    }
}

static void plain_getenv(const char *key, size_t len) {
    char copy[256];
    const char *value = getenv(key);
    (void)len;
    memcpy(copy, value, strlen(value) + 1);
    __asm__ volatile("" : : "r"(copy) : "memory");
}

static void empty_call(const char *key, size_t len) {
    (void)key;
    (void)len;
    (void)st_abi_version();
}

/* Shared by threads that measure together: the beginning and end of each thread's rounds. */
struct together {
    void (*call)(const char *, size_t);
    const char *key;
    unsigned threads;
    atomic_uint arrived, numbered;
    double begun[MOST_THREADS][ROUNDS], ended[MOST_THREADS][ROUNDS];
};

static void *measure_rounds(void *argument) {
    struct together *together = argument;
    unsigned number = together->numbered++;
    size_t len = strlen(together->key);
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Spins, because sleeping threads would start one after the other. */
        for (together->arrived++; together->arrived < (round + 1) * together->threads;) {
        }
        together->begun[number][round] = now();
        for (int i = 0; i < CALLS; i++) {
            together->call(together->key, len);
        }
        together->ended[number][round] = now();
    }
    return NULL;
}

/* Returns the minimum time of one call made by this many threads at once; other programs only increase it. */
static double smallest(void (*call)(const char *, size_t), const char *key, unsigned threads) {
    static struct together together;
    pthread_t running[MOST_THREADS];
    double rounds[ROUNDS];
    together = (struct together){.call = call, .key = key, .threads = threads};
    for (unsigned i = 0; i < threads; i++) {
        pthread_create(&running[i], NULL, measure_rounds, &together);
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
    }
    for (int round = 0; round < ROUNDS; round++) {
        double begun = together.begun[0][round], ended = together.ended[0][round];
        for (unsigned i = 1; i < threads; i++) {
            begun = together.begun[i][round] < begun ? together.begun[i][round] : begun;
            ended = together.ended[i][round] > ended ? together.ended[i][round] : ended;
        }
        rounds[round] = (ended - begun) / CALLS;
    }
    sort(rounds, ROUNDS);
    return rounds[0];
}

static void measure(const char *name, void (*call)(const char *, size_t), const char *key) {
    double one = smallest(call, key, 1), two = smallest(call, key, 2);
    hit = call == cache_hit ? one : hit;
    printf("%-44s %8.1f ns (two threads at once %.1f; %.1f cache hits)\n", name, one, two, one / hit);
}

/* Extends the environment to this many variables, with the key in the middle. */
static void fill_environment(const char *key) {
    char name[32], *value = getenv(key);
    value = value == NULL ? NULL : strdup(value);
    clearenv();
    for (int i = 0; i < VARIABLES; i++) {
        snprintf(name, sizeof name, "%c_VARIABLE_%d", 'A' + i % 26, i);
        if (i == VARIABLES / 2 && value != NULL) {
            setenv(key, value, 1);
        } else {
            setenv(name, "some value", 1);
        }
    }
    free(value);
}

static void open_manager(const char *file) {
    st_error error = ST_ERROR_INIT;
    st_secrets *opened = NULL;
    st_config *config = st_config_new();
    if (st_config_set(config, "file_path", ST_NUL, file, ST_NUL, &error) != ST_OK ||
        st_secrets_open(config, &opened, &error) != ST_OK) {
        fprintf(stderr, "get: %s\n", error.message);
        exit(1);
    }
    st_config_free(config);
    secrets = opened;
}

static int once(int calls, const char *file, const char *key) {
    open_manager(file);
    size_t len = strlen(key);
    get_into(key, len);
    fill_environment(key);
    for (int i = 0; i < calls; i++) {
        get_into(key, len);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        return 2;
    }
    if (strcmp(argv[1], "once") == 0) {
        return once(atoi(argv[2]), argv[3], argv[4]);
    }
    long before = resident_kib();
    open_manager(argv[1]);
    get_bytes(argv[2], ST_NUL);
    get_bytes(argv[4], ST_NUL);
    printf("%-44s %8ld KiB\n", "memory before the first call", before);
    printf("%-44s %8ld KiB\n", "memory with a manager, a file and AWS", resident_kib());
    fill_environment(argv[3]);
    if (st_cache_new(3600, 1000, 60, &cache, NULL) != ST_OK ||
        st_cache_set(cache, argv[2], ST_NUL, argv[2], ST_NUL, ST_TTL_DEFAULT, NULL) != ST_OK) {
        return 1;
    }
    measure("a hit of a cache, into a buffer", cache_hit, argv[2]);
    measure("an empty call", empty_call, argv[2]);
    measure("getenv and a copy, in C", plain_getenv, argv[3]);
    measure("get from the environment, as st_bytes", get_bytes, argv[3]);
    measure("get from the environment, into a buffer", get_into, argv[3]);
    measure("get from the loaded file, as st_bytes", get_bytes, argv[2]);
    measure("get from the loaded file, into a buffer", get_into, argv[2]);
    measure("get from AWS, remembered, as st_bytes", get_bytes, argv[4]);
    measure("get from AWS, remembered, into a buffer", get_into, argv[4]);
    measure("a key that is nowhere", miss, "NOWHERE");
    if (st_redactor_start(NULL, NULL) != ST_OK) {
        return 1;
    }
    measure("get from the loaded file, with a redactor", get_bytes, argv[2]);
    return 0;
}
