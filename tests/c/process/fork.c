/*
 * The library works in the child of a fork(), whatever the parent's other threads were doing: 300 forks while eight
 * threads work. A child that hangs is killed, which fails the test.
 *
 * usage: fork get|set|provider|redact
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

/* SECONDS is far more than a child takes, even on a busy machine. */
enum { FORKS = 300, THREADS = 8, SECONDS = 300 };

static st_secrets *secrets;
static const char *work;
static atomic_bool stop;
static atomic_long calls, failures;

/* A provider that takes a moment, is called from several threads at once, and calls the library. */
static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)timeout;
    if (key_len < 5 || memcmp(key, "slow-", 5) != 0) {
        return ST_NOT_FOUND;
    }
    st_bytes inner = {0};
    st_error error = ST_ERROR_INIT;
    nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    st_status status = st_secrets_get(secrets, "IN_FILE", ST_NUL, &inner, &error);
    if (status == ST_OK) {
        status = st_reply_bytes(reply, "CANARY-slow", ST_NUL, ST_TTL_DEFAULT);
    }
    st_bytes_free(&inner);
    return status;
}

static int gets(const char *key, const char *expected) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_status status = st_secrets_get(secrets, key, ST_NUL, &value, &error);
    int same = status == ST_OK && value.len == strlen(expected) && memcmp(value.data, expected, value.len) == 0;
    if (!same) {
        fprintf(stderr, "%s: %s %s\n", key, st_status_name(status), error.message);
    }
    st_bytes_free(&value);
    char buffer[64];
    size_t len = 0;
    if (same && (st_secrets_get_into(secrets, key, ST_NUL, buffer, sizeof buffer, &len, &error) != ST_OK ||
                 len != strlen(expected) || memcmp(buffer, expected, len) != 0)) {
        fprintf(stderr, "%s into a buffer: %zu bytes, %s\n", key, len, error.message);
        return 0;
    }
    return same;
}

static int sets(const char *key) {
    st_error error = ST_ERROR_INIT;
    st_status status = st_secrets_set(secrets, key, ST_NUL, "CANARY-set", ST_NUL, &error);
    if (status != ST_OK) {
        fprintf(stderr, "set %s: %s %s\n", key, st_status_name(status), error.message);
    }
    return status == ST_OK;
}

/* Adds a value, and redacts it and one that was returned by a get. */
static int redacts(const char *value) {
    char text[100];
    st_error error = ST_ERROR_INIT;
    st_bytes redacted = {0};
    snprintf(text, sizeof text, "%s, CANARY-file", value);
    int ok = st_redactor_add(NULL, NULL, 0, value, ST_NUL, NULL, &error) == ST_OK &&
             st_redact(NULL, text, ST_NUL, &redacted, &error) == ST_OK && redacted.len == strlen("***, ***") &&
             memcmp(redacted.data, "***, ***", redacted.len) == 0;
    if (!ok) {
        fprintf(stderr, "redact: %s %s\n", (const char *)redacted.data, error.message);
    }
    st_bytes_free(&redacted);
    return ok;
}

static void *busy(void *argument) {
    size_t number = (size_t)argument;
    char key[32];
    for (size_t i = 0; !stop; i++) {
        int ok = 1;
        snprintf(key, sizeof key, "key-%zu-%zu", number, i % 4);
        if (strcmp(work, "set") == 0 && number < 4) {
            ok = sets(key);
        } else if (strcmp(work, "provider") == 0 && number % 2 == 0) {
            ok = gets("slow-key", "CANARY-slow");
        } else if (strcmp(work, "redact") == 0 && number % 2 == 0) {
            snprintf(key, sizeof key, "CANARY-%zu-%zu", number, i % 200);
            ok = redacts(key);
        } else if (i % 50 == 49) {
            ok = st_secrets_clear_cache(secrets, NULL) == ST_OK; /* forces the file to be read again */
        } else {
            ok = gets("IN_FILE", "CANARY-file") && gets("IN_ENV", "CANARY-env");
        }
        calls++;
        failures += !ok;
    }
    return NULL;
}

static int child(int number) {
    char key[32];
    snprintf(key, sizeof key, "child-%d", number % 4);
    int ok = gets("IN_FILE", "CANARY-file") && gets("IN_ENV", "CANARY-env");
    if (strcmp(work, "set") == 0) {
        ok = ok && sets(key) && gets(key, "CANARY-set");
    }
    if (strcmp(work, "provider") == 0) {
        ok = ok && gets("slow-child", "CANARY-slow");
    }
    if (strcmp(work, "redact") == 0) {
        snprintf(key, sizeof key, "CANARY-child-%d", number);
        ok = ok && redacts(key);
    }
    st_bytes json = {0};
    ok = ok && st_secrets_check(secrets, &json, NULL) == ST_OK;
    st_bytes_free(&json);
    /* A grandchild works like the child. */
    if (number % 10 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            _exit(gets("IN_FILE", "CANARY-file") ? 0 : 1);
        }
        int status = 0;
        ok = ok && waitpid(grandchild, &status, 0) == grandchild && status == 0;
    }
    st_secrets_free(secrets);
    return ok ? 0 : 1;
}

/* Waits for a child up to SECONDS, then kills it. Returns its status, -1 for a hang. */
static int wait_for(pid_t pid) {
    struct timespec begin_time, now;
    clock_gettime(CLOCK_MONOTONIC, &begin_time);
    for (;;) {
        int status = 0;
        pid_t got = waitpid(pid, &status, WNOHANG);
        CHECK(got == 0 || got == pid);
        if (got == pid) {
            return status;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - begin_time.tv_sec > SECONDS) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    work = argv[1];
    begin();
    alarm(1500); /* kills a parent that hangs */
    setenv("IN_ENV", "CANARY-env", 1);
    secrets = open_with("file_path", write_file("fork.json", "{\"IN_FILE\": \"CANARY-file\"}"));
    st_error error = ST_ERROR_INIT;
    CHECK_OK(st_secrets_add_provider(secrets, "slow", ST_NUL, ST_LAST, load, NULL, NULL, &error));
    if (strcmp(work, "redact") == 0) {
        CHECK_OK(st_redactor_start(NULL, &error));
    }
    CHECK(gets("IN_FILE", "CANARY-file"));

    /* Bytes from before the fork stay readable in the child. */
    st_bytes held = {0};
    CHECK_OK(st_secrets_get(secrets, "IN_FILE", ST_NUL, &held, &error));

    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, busy, (void *)i) == 0);
    }
    int answered = 0, hung = 0;
    for (int i = 0; i < FORKS && hung == 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = (i * 7919) % 1000000}, NULL);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(2 * SECONDS); /* even if the parent is killed */
            int result = child(i) | memcmp(held.data, "CANARY-file", 12);
            st_bytes_free(&held);
            _exit(result != 0);
        }
        int status = wait_for(pid);
        answered += status == 0;
        hung += status == -1;
    }
    stop = true;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    fprintf(stderr, "%d of %d answered, %d hung; %ld calls meanwhile, %ld failed\n", answered, FORKS, hung, calls,
            failures);
    CHECK(answered == FORKS && hung == 0 && failures == 0 && calls > THREADS);
    st_bytes_free(&held);
    st_secrets_free(secrets);
    return 0;
}
