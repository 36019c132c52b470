/*
 * A training launcher: fetches the named secrets, puts them into the environment of a command and becomes it.
 *
 *   launcher HF_TOKEN REPLICATE_API_TOKEN -- python train.py
 *   launcher --from HF_TOKEN REPLICATE_API_TOKEN      where each secret comes from, never its value
 *   launcher --check                                  how each layer is
 *
 *   --file PATH before all that names the secrets file (or folder) to use
 *
 * Exit codes: that of the command; 2 for wrong use; 3 if a secret is missing; 4 if one could not be had;
 * 126 if the command cannot be run, 127 if it is not there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "st_secrets.h"

enum { WRONG_USE = 2, MISSING = 3, FAILED = 4, CANNOT_RUN = 126, NO_COMMAND = 127 };

static int usage(void) {
    fputs("usage: launcher [--file PATH] SECRET... -- COMMAND [ARGUMENT...]\n"
          "       launcher [--file PATH] --from SECRET...\n"
          "       launcher [--file PATH] --check\n",
          stderr);
    return WRONG_USE;
}

static int report(const st_error *error) {
    fprintf(stderr, "launcher: %s (%s)\n", error->message, st_status_name(error->status));
    return error->status == ST_NOT_FOUND ? MISSING : FAILED;
}

/* A manager for this file, or for the usual places. */
static int open_secrets(const char *file, st_secrets **secrets) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    int failed = (file != NULL && st_config_set(config, "file_path", ST_NUL, file, ST_NUL, &error) != ST_OK) ||
                 st_secrets_open(config, secrets, &error) != ST_OK;
    st_config_free(config);
    return failed ? report(&error) : 0;
}

static int check(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0};
    if (st_secrets_check(secrets, &json, &error) != ST_OK) {
        return report(&error);
    }
    puts((const char *)json.data);
    int ok = strstr((const char *)json.data, "\"state\": \"failed\"") == NULL;
    st_bytes_free(&json);
    return ok ? 0 : FAILED;
}

/* Every secret is looked for, so that one run names all that are missing. */
static int tell_origins(const st_secrets *secrets, char **names) {
    int result = 0;
    for (; *names != NULL; names++) {
        st_error error = ST_ERROR_INIT;
        st_secret_info info = ST_SECRET_INFO_INIT;
        st_bytes value = {0};
        if (st_secrets_get_with(secrets, *names, ST_NUL, ST_TIMEOUT_DEFAULT, 0, &value, &info, &error) != ST_OK) {
            result = report(&error);
            continue;
        }
        printf("%-24s %zu bytes from layer %s%s\n", *names, value.len, info.layer,
               info.flags & ST_SECRET_DEGRADED ? " (a layer before it failed)" : "");
        st_bytes_free(&value);
    }
    return result;
}

/* Reads all secrets before it sets the first: what is set must not change where the next one is found. */
static int provide(const st_secrets *secrets, char **names, size_t count) {
    st_bytes *values = calloc(count + 1, sizeof *values);
    int result = values == NULL ? FAILED : 0;
    for (size_t i = 0; values != NULL && i < count; i++) {
        st_error error = ST_ERROR_INIT;
        if (st_secrets_get(secrets, names[i], ST_NUL, &values[i], &error) != ST_OK) {
            result = report(&error);
        } else if (memchr(values[i].data, 0, values[i].len) != NULL) {
            fprintf(stderr, "launcher: %s holds a NUL byte, which no environment variable can\n", names[i]);
            result = FAILED;
        }
    }
    for (size_t i = 0; values != NULL && i < count; i++) {
        if (result == 0 && setenv(names[i], (const char *)values[i].data, 1) != 0) {
            fprintf(stderr, "launcher: cannot set %s: %s\n", names[i], strerror(errno));
            result = FAILED;
        }
        st_bytes_free(&values[i]);
    }
    free(values);
    return result;
}

static int run(char **command) {
    execvp(command[0], command);
    fprintf(stderr, "launcher: cannot run %s: %s\n", command[0], strerror(errno));
    return errno == ENOENT ? NO_COMMAND : CANNOT_RUN;
}

int main(int argc, char **argv) {
    char **next = argv + 1;
    const char *file = NULL;
    if (argc > 2 && strcmp(*next, "--file") == 0) {
        file = next[1];
        next += 2;
    }
    if (*next == NULL) {
        return usage();
    }
    char **names = next;
    size_t count = 0;
    while (names[count] != NULL && strcmp(names[count], "--") != 0) {
        count++;
    }
    int is_check = strcmp(*next, "--check") == 0, is_from = strcmp(*next, "--from") == 0;
    if (!is_check && !is_from && (names[count] == NULL || names[count + 1] == NULL)) {
        return usage();
    }
    st_secrets *secrets = NULL;
    int result = open_secrets(file, &secrets);
    if (result == 0) {
        result = is_check  ? check(secrets)
                 : is_from ? tell_origins(secrets, next + 1)
                           : provide(secrets, names, count);
        st_secrets_free(secrets);
    }
    if (result != 0 || is_check || is_from) {
        return result;
    }
    return run(names + count + 1);
}
