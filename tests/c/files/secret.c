/*
 * Reads and writes secrets of one file, for the scripts in this directory.
 *
 *   secret FILE get KEY                     prints the value
 *   secret FILE set KEY VALUE               and
 *   secret FILE delete KEY                  between two calls of getppid(), which can be seen from outside
 *   secret FILE set-many PREFIX COUNT       sets PREFIX-0 … to "value of PREFIX-0" …
 *   secret FILE verify-many PREFIX COUNT    checks that they exist
 *   secret FILE check                       prints the report
 *
 * FILE may be "-" for the default. A failure prints its status, errno and message; the exit code is 1.
 */
#include <sys/syscall.h>

#include "check.h"

static st_error error = ST_ERROR_INIT;

static void end(const char *key, st_status status) {
    if (status != ST_OK) {
        printf("%s %s (%d): %s\n", key, st_status_name(status), error.detail, error.message);
        exit(1);
    }
}

static st_status set_many(const st_secrets *secrets, const char *prefix, int count, int verify) {
    char key[64], value[80];
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%s-%d", prefix, i);
        snprintf(value, sizeof value, "value of %s", key);
        if (verify) {
            st_bytes found = {0};
            end(key, st_secrets_get(secrets, key, ST_NUL, &found, &error));
            CHECK_TEXT(found, value);
            st_bytes_free(&found);
        } else {
            end(key, st_secrets_set(secrets, key, ST_NUL, value, ST_NUL, &error));
        }
    }
    return ST_OK;
}

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    const char *what = argv[2], *key = argc > 3 ? argv[3] : "", *value = argc > 4 ? argv[4] : "";
    st_secrets *secrets = open_with(strcmp(argv[1], "-") == 0 ? NULL : "file_path", argv[1]);
    st_bytes out = {0};
    if (strcmp(what, "get") == 0) {
        end(key, st_secrets_get(secrets, key, ST_NUL, &out, &error));
    } else if (strcmp(what, "set") == 0) {
        syscall(SYS_getppid);
        st_status status = st_secrets_set(secrets, key, ST_NUL, value, ST_NUL, &error);
        syscall(SYS_getppid);
        end(key, status);
    } else if (strcmp(what, "delete") == 0) {
        syscall(SYS_getppid);
        st_status status = st_secrets_delete(secrets, key, ST_NUL, NULL, &error);
        syscall(SYS_getppid);
        end(key, status);
    } else if (strcmp(what, "set-many") == 0 || strcmp(what, "verify-many") == 0) {
        set_many(secrets, key, atoi(value), what[0] == 'v');
    } else {
        CHECK(strcmp(what, "check") == 0);
        end(what, st_secrets_check(secrets, &out, &error));
    }
    if (out.data != NULL) {
        printf("%s\n", (const char *)out.data);
    }
    st_bytes_free(&out);
    st_secrets_free(secrets);
    return 0;
}
