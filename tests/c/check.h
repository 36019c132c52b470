/*
 * Checks for the tests: the first one that fails prints where and why, and ends the program.
 *
 * CHECK_OK and CHECK_FAILS use a variable `error`, an `st_error`, which is the last argument of the checked call.
 * Every secret in these tests contains the word CANARY, which must not appear in any message.
 */
#ifndef CHECK_H
#define CHECK_H

#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "st_secrets.h"

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            check_failed(__FILE__, __LINE__, "%s", #condition); \
        } \
    } while (0)

/* Waits until the condition is true. The limit is for a program that hangs, not for a slow machine. */
#define CHECK_SOON(condition) \
    do { \
        time_t check_end = check_seconds() + CHECK_PATIENCE; \
        while (!(condition)) { \
            if (check_seconds() > check_end) { \
                check_failed(__FILE__, __LINE__, "not within %d seconds: %s", CHECK_PATIENCE, #condition); \
            } \
            usleep(5000); \
        } \
    } while (0)

#define CHECK_OK(call) \
    do { \
        st_status check_status = (call); \
        if (check_status != ST_OK) { \
            check_failed(__FILE__, __LINE__, "%s gave %s: %s", #call, st_status_name(check_status), error.message); \
        } \
        if (error.status != ST_OK || error.message[0] != 0) { \
            check_failed(__FILE__, __LINE__, "%s succeeded and left an error", #call); \
        } \
    } while (0)

/* The call fails with this status, and its message contains this word. */
#define CHECK_FAILS(call, expected, word) \
    do { \
        memset(error.message, 0, sizeof error.message); \
        st_status check_status = (call); \
        check_failure(__FILE__, __LINE__, #call, check_status, &error, expected, word); \
    } while (0)

/* These st_bytes contain this text, followed by a NUL. */
#define CHECK_TEXT(bytes, text) \
    do { \
        if ((bytes).data == NULL || (bytes).len != strlen(text) || memcmp((bytes).data, text, (bytes).len + 1)) { \
            check_failed(__FILE__, __LINE__, "%s holds \"%s\", not \"%s\"", #bytes, \
                         (bytes).data ? (const char *)(bytes).data : "(nothing)", text); \
        } \
    } while (0)

#define CHECK_EMPTY(bytes) CHECK((bytes).data == NULL && (bytes).len == 0 && (bytes).owner == NULL)

/* JSON of the library contains this text. */
#define CHECK_HAS(bytes, text) \
    do { \
        if (strstr((const char *)(bytes).data, text) == NULL) { \
            check_failed(__FILE__, __LINE__, "%s lacks \"%s\": %s", #bytes, text, (const char *)(bytes).data); \
        } \
    } while (0)

#if defined __GNUC__
__attribute__((format(printf, 3, 4), noreturn))
#endif
static inline void check_failed(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

enum { CHECK_PATIENCE = 120 };

static inline time_t check_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static inline void check_failure(const char *file, int line, const char *call, st_status status, const st_error *error,
                                 st_status expected, const char *word) {
    if (status != expected || error->status != expected) {
        check_failed(file, line, "%s gave %s (and %s in the error: %s), not %s", call, st_status_name(status),
                     st_status_name(error->status), error->message, st_status_name(expected));
    }
    if (error->message[0] == 0 || strstr(error->message, word) == NULL) {
        check_failed(file, line, "%s: the message \"%s\" lacks \"%s\"", call, error->message, word);
    }
    if (strstr(error->message, "CANARY") != NULL) {
        check_failed(file, line, "%s: the message shows a secret: %s", call, error->message);
    }
}

/* A temporary directory of this process, removed when it ends. */
static char check_scratch[PATH_MAX / 2];
static pid_t check_owner;

static inline int check_remove_one(const char *path, const struct stat *state, int kind, struct FTW *place) {
    (void)state, (void)kind, (void)place;
    return remove(path);
}

static inline void check_remove_all(void) {
    if (getpid() == check_owner) {
        nftw(check_scratch, check_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* Begins a test: an empty home, and none of the variables that affect the library. */
static inline void begin(void) {
    const char *temporary = getenv("TMPDIR");
    snprintf(check_scratch, sizeof check_scratch, "%s/st_secrets_test.XXXXXX", temporary == NULL ? "/tmp" : temporary);
    CHECK(mkdtemp(check_scratch) != NULL);
    check_owner = getpid();
    atexit(check_remove_all);
    setenv("HOME", check_scratch, 1);
    unsetenv("HF_TOKEN");
    unsetenv("REPLICATE_API_TOKEN");
    unsetenv("CLOUD_WEBHOOK_SECRET");
}

/* Returns the path of `name` in the temporary directory. The fourth call after it overwrites the result. */
static inline const char *path_of(const char *name) {
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", check_scratch, name);
    return path;
}

/* Writes a file with mode 0600 to the temporary directory and returns its path. */
static inline const char *write_file(const char *name, const char *text) {
    const char *path = path_of(name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(chmod(path, 0600) == 0);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
    return path;
}

/* Whether a file in the temporary directory contains exactly this text. */
static inline int file_is(const char *name, const char *text) {
    static char found[1 << 16];
    FILE *file = fopen(path_of(name), "r");
    CHECK(file != NULL);
    size_t len = fread(found, 1, sizeof found - 1, file);
    fclose(file);
    found[len] = 0;
    if (strcmp(found, text) != 0) {
        fprintf(stderr, "%s holds:\n%s\n", name, found);
    }
    return strcmp(found, text) == 0;
}

/* Opens a manager with this one setting ("file_path", …) or, with NULL, without any. */
static inline st_secrets *open_with(const char *key, const char *value) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_secrets *secrets = NULL;
    CHECK(config != NULL);
    /* More than any call takes on a machine that is busy with other things too. */
    CHECK_OK(st_config_set(config, "timeout", ST_NUL, "600", ST_NUL, &error));
    if (key != NULL) {
        CHECK_OK(st_config_set(config, key, ST_NUL, value, ST_NUL, &error));
    }
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    st_config_free(config);
    return secrets;
}

#endif
