/* One rank: waits for each round, and gets its secrets. */

#define _GNU_SOURCE
#include "fleet.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void set(st_config *config, const char *name, const char *value) {
    st_error error = ST_ERROR_INIT;
    if (st_config_set(config, name, ST_NUL, value, ST_NUL, &error) != ST_OK) {
        fprintf(stderr, "%s\n", error.message);
        _exit(2);
    }
}

static st_status open_manager(int host, bool is_intruder, st_secrets **secrets, st_error *error) {
    st_config *config = st_config_new();
    st_status status = config ? st_config_parse(config, options.config, ST_NUL, error) : ST_NO_MEMORY;
    if (status == ST_OK) {
        if (options.share_base) set(config, "share_dir", share_directory(host));
        for (int i = 0; is_intruder && i < options.intruder_config_count; i++)
            set(config, options.intruder_config[i].name, expand(options.intruder_config[i].value, host));
        status = st_secrets_open(config, secrets, error);
    }
    st_config_free(config);
    return status;
}

static void failed(struct rank *rank, st_status status, const st_error *error) {
    rank->failures++;
    if (rank->status != ST_OK) return;
    rank->status = status;
    snprintf(rank->message, sizeof rank->message, "%.*s", MESSAGE - 1, error->message);
}

/* Which rotation this value of a secret is of, and notes when it was read; -1 if it is none. */
static int rotation_of(const st_bytes *value, const char *prefix, struct rank *rank) {
    char text[256], *end;
    size_t len = strlen(prefix);
    if (value->len <= len || value->len >= sizeof text || memcmp(value->data, prefix, len) != 0) return -1;
    memcpy(text, value->data, value->len);
    text[value->len] = '\0';
    long rotation = strtol(text + len, &end, 10);
    if (*end || rotation < 0 || rotation >= MAX_ROTATIONS) return -1;
    rank->last_read[rotation] = now_ns();
    return (int)rotation;
}

static void get_all(const st_secrets *secrets, struct rank *rank) {
    for (int i = 0; i < options.expected_count; i++) {
        const struct setting *expected = &options.expected[i];
        st_bytes value = {0};
        st_secret_info info = ST_SECRET_INFO_INIT;
        st_error error = ST_ERROR_INIT;
        st_status status =
            st_secrets_get_with(secrets, expected->name, ST_NUL, ST_TIMEOUT_DEFAULT, 0, &value, &info, &error);
        rank->gets++;
        if (status != ST_OK) {
            failed(rank, status, &error);
            continue;
        }
        size_t len = strlen(expected->value);
        if (options.follow && i == 0) {
            int rotation = rotation_of(&value, expected->value, rank);
            rank->wrong += rotation < 0;
            if (rotation > rank->rotation) rank->rotation = rotation;
        } else {
            rank->wrong += value.len != len || memcmp(value.data, expected->value, len) != 0;
        }
        rank->stale += (info.flags & ST_SECRET_STALE) != 0;
        rank->cached += (info.flags & ST_SECRET_CACHED) != 0;
#ifdef ST_SECRET_SHARED
        rank->shared += (info.flags & ST_SECRET_SHARED) != 0;
#endif
        st_bytes_free(&value);
    }
}

/* Gets the secrets until the last rotation was seen. */
static void follow(const st_secrets *secrets, bool listens, struct rank *rank) {
    uint64_t seen = 0;
    while (!fleet->rotations_ended || rank->rotation < fleet->rotation) {
        st_error error = ST_ERROR_INIT;
        st_status status = listens ? st_secrets_listen(secrets, seen, options.interval, &seen, &error) : ST_OK;
        if (status != ST_OK && status != ST_TIMEOUT) failed(rank, status, &error);
        if (!listens) sleep_seconds(options.interval);
        get_all(secrets, rank);
    }
}

/* A thread that reads beside the first one of its rank. */
struct reader {
    pthread_t thread;
    const st_secrets *secrets;
    struct rank seen;
};

static void *read_beside(void *context) {
    struct reader *reader = context;
    follow(reader->secrets, false, &reader->seen);
    return NULL;
}

static void add_seen(struct rank *rank, const struct rank *seen) {
    if (seen->failures && !rank->failures) {
        rank->status = seen->status;
        memcpy(rank->message, seen->message, sizeof rank->message);
    }
    rank->gets += seen->gets;
    rank->failures += seen->failures;
    rank->wrong += seen->wrong;
    rank->stale += seen->stale;
    rank->cached += seen->cached;
    rank->shared += seen->shared;
    for (int i = 0; i < MAX_ROTATIONS; i++)
        if (seen->last_read[i] > rank->last_read[i]) rank->last_read[i] = seen->last_read[i];
}

/* Does so in all threads of the rank. What it reports of a rotation is the last of them. */
static void follow_in_threads(const st_secrets *secrets, bool listens, struct rank *rank) {
    int others = options.readers - 1;
    struct reader *readers = calloc((size_t)others + 1, sizeof *readers);
    if (!readers) die("calloc");
    for (int i = 0; i < others; i++) {
        readers[i].secrets = secrets;
        if (pthread_create(&readers[i].thread, NULL, read_beside, &readers[i])) die("pthread_create");
    }
    follow(secrets, listens, rank);
    for (int i = 0; i < others; i++) {
        if (pthread_join(readers[i].thread, NULL)) die("pthread_join");
        add_seen(rank, &readers[i].seen);
    }
    free(readers);
}

static void run_round(int host, bool is_intruder, st_secrets **secrets, struct rank *rank) {
    rank->gets = rank->failures = rank->wrong = rank->stale = rank->shared = rank->cached = 0;
    rank->status = ST_OK;
    rank->message[0] = '\0';
    rank->began = now_ns();
    st_error error = ST_ERROR_INIT;
    st_status status = *secrets ? ST_OK : open_manager(host, is_intruder, secrets, &error);
    if (status != ST_OK) {
        failed(rank, status, &error);
    } else {
        get_all(*secrets, rank);
        rank->ended = now_ns();
        if (options.follow)
            follow_in_threads(*secrets, options.listen && !is_intruder && rank == rank_of(host, 0), rank);
        while (now_ns() - rank->began < (int64_t)(options.repeat * 1e9)) {
            sleep_seconds(options.interval);
            get_all(*secrets, rank);
        }
        return;
    }
    rank->ended = now_ns();
}

static void become_intruder(int host) {
    for (int i = 0; i < options.intruder_environment_count; i++) {
        const struct setting *setting = &options.intruder_environment[i];
        if (setenv(setting->name, expand(setting->value, host), 1)) die("setenv");
    }
    enum { NOBODY = 65534 };
    if (options.intruder == INTRUDER_USER && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))) die("setuid");
    /* A change of the user clears it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL)) die("prctl");
}

void rank_main(int host, int index, bool is_intruder) {
    struct rank *rank = rank_of(host, index);
    rank->pid = getpid();
    if (is_intruder) become_intruder(host);
    fleet->ready++;
    st_secrets *secrets = NULL;
    /* A different start for each host, the same ones in each run. */
    srand48(host);
    for (int round = 1; round <= options.rounds; round++) {
        wait_for_round((uint32_t)round);
        if (round == 1) sleep_seconds(options.spread * drand48());
        run_round(host, is_intruder, &secrets, rank);
        rank->finished = round;
    }
    st_secrets_free(secrets);
    _exit(0);
}

st_status warm_up(int host) {
    st_secrets *secrets = NULL;
    st_error error = ST_ERROR_INIT;
    st_status status = open_manager(host, false, &secrets, &error);
    for (int i = 0; status == ST_OK && i < options.expected_count; i++) {
        st_bytes value = {0};
        status = st_secrets_get(secrets, options.expected[i].name, ST_NUL, &value, &error);
        st_bytes_free(&value);
    }
    if (status != ST_OK) fprintf(stderr, "host %d: %s\n", host, error.message);
    st_secrets_free(secrets);
    return status;
}
