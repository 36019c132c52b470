/*
 * Time of one call, as medians over rounds, and memory of a process that holds a manager.
 * usage: get FILE FILE_KEY ENV_KEY
 */
#include <stdint.h>
#include <string.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 21, CALLS = 20000 };

static const st_secrets *secrets;

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

static void miss(const char *key, size_t len) {
    st_bytes value;
    if (st_secrets_get(secrets, key, len, &value, NULL) != ST_NOT_FOUND) {
        exit(1);
    }
}

static void plain_getenv(const char *key, size_t len) {
    static char copy[256];
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

static void measure(const char *name, void (*call)(const char *, size_t), const char *key) {
    double rounds[ROUNDS];
    size_t len = strlen(key);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < CALLS; i++) {
            call(key, len);
        }
        rounds[round] = (now() - start) / CALLS;
    }
    sort(rounds, ROUNDS);
    printf("%-44s %8.1f ns\n", name, rounds[ROUNDS / 2]);
}

int main(int argc, char **argv) {
    st_error error = ST_ERROR_INIT;
    st_secrets *opened = NULL;
    long before = resident_kib();
    st_config *config = st_config_new();
    if (argc != 4 || st_config_set(config, "file_path", ST_NUL, argv[1], ST_NUL, &error) != ST_OK ||
        st_secrets_open(config, &opened, &error) != ST_OK) {
        fprintf(stderr, "get: %s\n", error.message);
        return 1;
    }
    secrets = opened;
    get_bytes(argv[2], ST_NUL);
    printf("%-44s %8ld KiB\n", "memory before the first call", before);
    printf("%-44s %8ld KiB\n", "memory with a manager and a loaded file", resident_kib());
    measure("an empty call", empty_call, argv[2]);
    measure("getenv and a copy, in C", plain_getenv, argv[3]);
    measure("get from the environment, as st_bytes", get_bytes, argv[3]);
    measure("get from the environment, into a buffer", get_into, argv[3]);
    measure("get from the loaded file, as st_bytes", get_bytes, argv[2]);
    measure("get from the loaded file, into a buffer", get_into, argv[2]);
    measure("a key that is nowhere", miss, "NOWHERE");
    st_secrets_free(opened);
    st_config_free(config);
    return 0;
}
