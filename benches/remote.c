/*
 * A program with a secret from AWS or Vault, configured by the environment.
 *   remote first KEY    gets the secret and ends
 *   remote cached KEY   prints the time of a cached get: minimum and median of rounds, in ns
 *   remote idle KEY     prints what the process keeps while it waits: additional memory in KiB, threads, sockets
 */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 21, CALLS = 20000 };

static void get(const char *key, size_t len) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    if (st_secrets_get(NULL, key, len, &value, &error) != ST_OK) {
        fprintf(stderr, "remote: %s (%s)\n", error.message, st_status_name(error.status));
        exit(1);
    }
    st_bytes_free(&value);
}

static void cached(const char *key) {
    double rounds[ROUNDS];
    size_t len = strlen(key);
    get(key, len);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < CALLS; i++) {
            get(key, len);
        }
        rounds[round] = (now() - start) / CALLS;
    }
    sort(rounds, ROUNDS);
    printf("%.1f %.1f\n", rounds[0], rounds[ROUNDS / 2]);
}

/* Counts the entries of a directory that are links to a target with this prefix. */
static int entries(const char *directory, const char *start) {
    int count = 0;
    DIR *open = opendir(directory);
    for (struct dirent *entry; open != NULL && (entry = readdir(open)) != NULL;) {
        char target[64] = "";
        if (entry->d_name[0] != '.' && *start != 0 &&
            readlinkat(dirfd(open), entry->d_name, target, sizeof target - 1) < 0) {
            continue;
        }
        count += entry->d_name[0] != '.' && strncmp(target, start, strlen(start)) == 0;
    }
    if (open != NULL) {
        closedir(open);
    }
    return count;
}

static void idle(const char *key) {
    long before = resident_kib();
    get(key, ST_NUL);
    /* Everything that serves the load has ended after this. */
    sleep(1);
    long after = resident_kib();
    printf("%ld %d %d\n", after - before, entries("/proc/self/task", ""), entries("/proc/self/fd", "socket:"));
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "first") == 0) {
        get(argv[2], ST_NUL);
    } else if (argc == 3 && strcmp(argv[1], "cached") == 0) {
        cached(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "idle") == 0) {
        idle(argv[2]);
    } else {
        fputs("usage: remote first|cached|idle KEY\n", stderr);
        return 2;
    }
    return 0;
}
