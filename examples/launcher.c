/*
 * A training launcher: fetches the named secrets, sets them in the environment of a command and runs it in this
 * process.
 *
 *   launcher HF_TOKEN REPLICATE_API_TOKEN -- python train.py
 *   launcher --from HF_TOKEN REPLICATE_API_TOKEN      prints the origin of each secret, never its value
 *   launcher --check                                  prints the health of each provider
 *
 *   --file PATH, as the first option, selects the secrets file or directory
 *
 * Warnings go to stderr: those of the library, and one for each value that may not be the current one.
 *
 * Exit codes: that of the command; 2 for wrong usage; 3 if a secret is missing; 4 if one could not be fetched; 126
 * if the command cannot be run, 127 if it does not exist.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "st_secrets.h"

enum { WRONG_USE = 2, MISSING = 3, FAILED = 4, CANNOT_RUN = 126, NO_COMMAND = 127 };
enum action { RUN, FROM, CHECK, HELP, VERSION };

struct arguments {
    enum action action;
    const char *file; /* NULL: the default location */
    char **names;
    size_t count;
    char **command;
};

static const char USAGE[] = "usage: launcher [--file PATH] SECRET... -- COMMAND [ARGUMENT...]\n"
                            "       launcher [--file PATH] --from SECRET...\n"
                            "       launcher [--file PATH] --check\n"
                            "       launcher --help | --version\n";

static int wrong_use(const char *problem, const char *argument) {
    fprintf(stderr, "launcher: %s%s\n%s", problem, argument, USAGE);
    return WRONG_USE;
}

static int report(const st_error *error) {
    fprintf(stderr, "launcher: %s (%s)\n", error->message, st_status_name(error->status));
    return error->status == ST_NOT_FOUND ? MISSING : FAILED;
}

/* The library's messages never contain a value. */
static void warn(void *context, int32_t level, const char *target, const char *message, size_t len) {
    (void)context, (void)level, (void)target;
    fprintf(stderr, "launcher: warning: %.*s\n", (int)len, message);
}

static void warn_of_doubt(const char *name, const st_secret_info *info) {
    if (info->flags & ST_SECRET_DEGRADED) {
        fprintf(stderr, "launcher: warning: %s comes from provider %s, but an earlier provider failed\n", name,
                info->provider);
    }
    if (info->flags & ST_SECRET_STALE) {
        fprintf(stderr, "launcher: warning: %s is the last value of provider %s, which is failing\n", name,
                info->provider);
    }
}

/* Returns the action of an option, which must be the last one. */
static enum action action_of(const char *option) {
    static const struct {
        const char *option;
        enum action action;
    } ACTIONS[] = {{"--from", FROM}, {"--check", CHECK}, {"--help", HELP}, {"-h", HELP}, {"--version", VERSION}};
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++) {
        if (strcmp(option, ACTIONS[i].option) == 0) {
            return ACTIONS[i].action;
        }
    }
    return RUN;
}

/* Returns 0 or the exit code for wrong usage. */
static int parse(char **next, struct arguments *arguments) {
    if (*next != NULL && strcmp(*next, "--file") == 0) {
        if (next[1] == NULL) {
            return wrong_use("--file needs a path", "");
        }
        arguments->file = next[1];
        next += 2;
    }
    if (*next == NULL) {
        return wrong_use("no secret is given", "");
    }
    arguments->action = action_of(*next);
    next += arguments->action != RUN;
    arguments->names = next;
    for (; *next != NULL && strcmp(*next, "--") != 0; next++) {
        if (**next == '-') {
            return wrong_use("unknown or misplaced option: ", *next);
        }
        arguments->count++;
    }
    arguments->command = *next == NULL ? next : next + 1;
    switch (arguments->action) {
    case RUN:
        return *next == NULL                 ? wrong_use("no command is given: put -- before it", "")
               : *arguments->command == NULL ? wrong_use("no command is given after --", "")
                                             : 0;
    case FROM:
        return *next != NULL           ? wrong_use("--from takes no command", "")
               : arguments->count == 0 ? wrong_use("--from needs the name of a secret", "")
                                       : 0;
    default:
        return *arguments->names != NULL ? wrong_use("unexpected argument: ", *arguments->names) : 0;
    }
}

/* Opens a manager for this file, or for the default location. */
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
    st_bytes_free(&json);
    /* The report is for humans to read. The status of a refresh says whether every provider works. */
    return st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error) == ST_OK ? 0 : report(&error);
}

/* Looks every secret up, so that one run reports all missing ones. */
static int show_origins(const st_secrets *secrets, char **names) {
    int result = 0;
    for (; *names != NULL; names++) {
        st_error error = ST_ERROR_INIT;
        st_secret_info info = ST_SECRET_INFO_INIT;
        st_bytes value = {0};
        if (st_secrets_get_with(secrets, *names, ST_NUL, ST_TIMEOUT_DEFAULT, 0, &value, &info, &error) != ST_OK) {
            result = report(&error);
            continue;
        }
        printf("%-24s %zu bytes from provider %s%s%s\n", *names, value.len, info.provider,
               info.flags & ST_SECRET_DEGRADED ? " (an earlier provider failed)" : "",
               info.flags & ST_SECRET_STALE ? " (the last value of a failing provider)" : "");
        st_bytes_free(&value);
    }
    return result;
}

/* Reads all secrets before setting the first, because the environment affects later lookups. */
static int provide(const st_secrets *secrets, char **names, size_t count) {
    st_bytes *values = calloc(count + 1, sizeof *values);
    int result = values == NULL ? FAILED : 0;
    for (size_t i = 0; values != NULL && i < count; i++) {
        st_error error = ST_ERROR_INIT;
        st_secret_info info = ST_SECRET_INFO_INIT;
        if (st_secrets_get_with(secrets, names[i], ST_NUL, ST_TIMEOUT_DEFAULT, 0, &values[i], &info, &error) != ST_OK) {
            result = report(&error);
        } else if (memchr(values[i].data, 0, values[i].len) != NULL) {
            fprintf(stderr, "launcher: %s contains a NUL byte, which an environment variable cannot\n", names[i]);
            result = FAILED;
        }
        warn_of_doubt(names[i], &info);
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

/* Runs the action with the secrets. Returns 0 if the command is to be run, or else an exit code. */
static int act(const struct arguments *arguments) {
    /* --check reports everything that the log would. */
    st_error error = ST_ERROR_INIT;
    if (arguments->action != CHECK && st_log_set(ST_LOG_WARN, warn, NULL, NULL, &error) != ST_OK) {
        return report(&error);
    }
    st_secrets *secrets = NULL;
    int result = open_secrets(arguments->file, &secrets);
    if (result == 0) {
        result = arguments->action == CHECK  ? check(secrets)
                 : arguments->action == FROM ? show_origins(secrets, arguments->names)
                                             : provide(secrets, arguments->names, arguments->count);
        st_secrets_free(secrets);
    }
    return result;
}

int main(int argc, char **argv) {
    (void)argc;
    struct arguments arguments = {0};
    int result = parse(argv + 1, &arguments);
    if (result != 0) {
        return result;
    }
    switch (arguments.action) {
    case HELP:
        fputs(USAGE, stdout);
        return 0;
    case VERSION:
        printf("launcher (st_secrets %s)\n", st_version());
        return 0;
    default:
        result = act(&arguments);
        return result != 0 || arguments.action != RUN ? result : run(arguments.command);
    }
}
