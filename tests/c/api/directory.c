/* A directory of one-secret files, as Kubernetes, Docker and systemd provide them. */
#include "check.h"

static st_secrets *open_directory(void) {
    CHECK(mkdir(path_of("mount"), 0700) == 0);
    CHECK(mkdir(path_of("mount/..2024_01"), 0700) == 0);
    CHECK(mkdir(path_of("mount/a-directory"), 0700) == 0);
    write_file("outside", "CANARY-outside");
    write_file("mount/..2024_01/hf-token", "CANARY-linked\n");
    write_file("mount/two-lines", "CANARY-a\nCANARY-b\n\n");
    write_file("mount/bare", "CANARY-bare");
    write_file("mount/empty", "");
    CHECK(symlink("..2024_01", path_of("mount/..data")) == 0);
    CHECK(symlink("..data/hf-token", path_of("mount/hf-token")) == 0);
    return open_with("file_path", path_of("mount"));
}

static void values(const st_secrets *secrets) {
    static const struct {
        const char *key, *value;
    } expected[] = {
        {"hf-token", "CANARY-linked"}, /* one final newline is removed */
        {"two-lines", "CANARY-a\nCANARY-b\n"},
        {"bare", "CANARY-bare"},
        {"empty", ""},
    };
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK_OK(st_secrets_get(secrets, expected[i].key, ST_NUL, &value, &error));
        CHECK_TEXT(value, expected[i].value);
        st_bytes_free(&value);
    }
    /* Missing files, directories and paths outside are not found. For the environment `.` is `_`, which shells set. */
    unsetenv("_");
    static const char *const none[] = {"missing", "a-directory", "../outside", "..data/hf-token", "..data", ".", ".."};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK_FAILS(st_secrets_get(secrets, none[i], ST_NUL, &value, &error), ST_NOT_FOUND, none[i]);
    }
}

static void is_read_only(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    CHECK_FAILS(st_secrets_set(secrets, "bare", ST_NUL, "CANARY", ST_NUL, &error), ST_READ_ONLY, "mount");
    CHECK_FAILS(st_secrets_delete(secrets, "bare", ST_NUL, NULL, &error), ST_READ_ONLY, "mount");
    CHECK(error.source == ST_SOURCE_FILE);
    CHECK(file_is("mount/bare", "CANARY-bare"));
}

/* Kubernetes updates a mount by pointing the link `..data` to another directory. */
static void renewal(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK(mkdir(path_of("mount/..2024_02"), 0700) == 0);
    write_file("mount/..2024_02/hf-token", "CANARY-renewed\n");
    CHECK(symlink("..2024_02", path_of("mount/..new")) == 0);
    CHECK(rename(path_of("mount/..new"), path_of("mount/..data")) == 0);
    CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
    CHECK_OK(st_secrets_get(secrets, "hf-token", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-renewed");
    st_bytes_free(&value);
}

static void reports(const st_secrets *secrets) {
    st_error error = ST_ERROR_INIT;
    st_bytes json = {0}, path = {0};
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    CHECK_HAS(json, "\"format\": \"directory\"");
    st_bytes_free(&json);
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    CHECK_HAS(json, "\"ok\": true");
    CHECK(strstr((const char *)json.data, "CANARY") == NULL);
    st_bytes_free(&json);
    CHECK_OK(st_secrets_file_path(secrets, &path, &error));
    CHECK_TEXT(path, path_of("mount"));
    st_bytes_free(&path);
}

int main(void) {
    begin();
    st_secrets *secrets = open_directory();
    values(secrets);
    is_read_only(secrets);
    renewal(secrets);
    reports(secrets);
    st_secrets_free(secrets);
    return 0;
}
