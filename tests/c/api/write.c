/* Writing and deleting secrets. */
#include "check.h"

static unsigned mode_of(const char *name) {
    struct stat state;
    CHECK(stat(path_of(name), &state) == 0);
    return state.st_mode & 07777;
}

static void new_file(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, path = {0};
    st_secrets *secrets = open_with(NULL, NULL);
    umask(0);
    CHECK_OK(st_secrets_set(secrets, "HF_TOKEN", ST_NUL, "CANARY-new", ST_NUL, &error));
    CHECK(mode_of(".simpletuner") == 0700 && mode_of(".simpletuner/secrets.json") == 0600);
    CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-new");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_file_path(secrets, &path, &error));
    CHECK_TEXT(path, path_of(".simpletuner/secrets.json"));
    st_bytes_free(&path);
    st_secrets_free(secrets);

    /* Whatever the umask is, the owner can read and write the file. */
    umask(0777);
    secrets = open_with("file_path", path_of("umask.json"));
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "CANARY", ST_NUL, &error));
    umask(022);
    CHECK(mode_of("umask.json") == 0600);
    st_secrets_free(secrets);
}

/* Format, order and white space of all other entries are preserved. */
static void edits(void) {
    st_error error = ST_ERROR_INIT;
    bool existed = false;
    st_secrets *secrets =
        open_with("file_path", write_file("edit.json", "{\n  \"A\": 1.50,\n  \"B\" : { \"x\": 1 }\n}\n"));
    CHECK_OK(st_secrets_set(secrets, "NEW", ST_NUL, "CANARY", ST_NUL, &error));
    CHECK(file_is("edit.json", "{\n  \"A\": 1.50,\n  \"B\" : { \"x\": 1 },\n  \"NEW\" : \"CANARY\"\n}\n"));
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "CANARY \"\\\n", ST_NUL, &error));
    CHECK(file_is("edit.json", "{\n  \"A\": \"CANARY \\\"\\\\\\n\",\n  \"B\" : { \"x\": 1 },\n"
                               "  \"NEW\" : \"CANARY\"\n}\n"));
    CHECK_OK(st_secrets_delete(secrets, "B", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_secrets_delete(secrets, "A", 1, NULL, &error));
    CHECK(file_is("edit.json", "{\n  \"NEW\" : \"CANARY\"\n}\n"));
    CHECK_OK(st_secrets_delete(secrets, "B", ST_NUL, &existed, &error));
    CHECK(!existed);
    st_secrets_free(secrets);
}

/* A written value is found at once, with a length or NUL; an empty value is a value. */
static void values(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secrets *secrets = open_with("file_path", path_of("values.json"));
    CHECK_OK(st_secrets_set(secrets, "hf-token", 2, "CANARY-and-more", 6, &error));
    CHECK_OK(st_secrets_get(secrets, "hf", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_set(secrets, "hf", ST_NUL, NULL, 0, &error));
    CHECK_OK(st_secrets_get(secrets, "hf", ST_NUL, &value, &error));
    CHECK_TEXT(value, "");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_set_replicate_token(secrets, "CANARY-r8", ST_NUL, &error));
    CHECK_OK(st_secrets_get_replicate_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-r8");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_set(secrets, "nul", ST_NUL, "CANARY\0x", 8, &error));
    CHECK_OK(st_secrets_get(secrets, "nul", ST_NUL, &value, &error));
    CHECK(value.len == 8 && memcmp(value.data, "CANARY\0x", 9) == 0);
    st_bytes_free(&value);
    /* A variable of that name still precedes the file. */
    setenv("REPLICATE_API_TOKEN", "CANARY-env", 1);
    CHECK_OK(st_secrets_set_replicate_token(secrets, "CANARY-r9", ST_NUL, &error));
    CHECK_OK(st_secrets_get_replicate_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-env");
    st_bytes_free(&value);
    unsetenv("REPLICATE_API_TOKEN");
    st_secrets_free(secrets);
}

/* A link stays a link: its target is changed. */
static void links(void) {
    st_error error = ST_ERROR_INIT;
    struct stat state;
    write_file("target.json", "{}");
    CHECK(symlink("target.json", path_of("link.json")) == 0);
    st_secrets *secrets = open_with("file_path", path_of("link.json"));
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "CANARY", ST_NUL, &error));
    CHECK(lstat(path_of("link.json"), &state) == 0 && S_ISLNK(state.st_mode));
    CHECK(file_is("target.json", "{\n  \"A\": \"CANARY\"\n}"));
    st_secrets_free(secrets);
}

static void impossible(void) {
    st_error error = ST_ERROR_INIT;
    bool existed = true;
    st_secrets *secrets = open_with("providers", "[\"env\"]");
    CHECK_FAILS(st_secrets_set(secrets, "A", ST_NUL, "CANARY", ST_NUL, &error), ST_CONFIG, "file provider");
    CHECK_FAILS(st_secrets_set_replicate_token(secrets, "CANARY", ST_NUL, &error), ST_CONFIG, "file provider");
    CHECK_FAILS(st_secrets_delete(secrets, "A", ST_NUL, &existed, &error), ST_CONFIG, "file provider");
    CHECK(!existed);
    st_secrets_free(secrets);

    /* Deleting from a missing file is not an error, and does not create it. */
    secrets = open_with("file_path", path_of("nowhere/none.json"));
    existed = true;
    CHECK_OK(st_secrets_delete(secrets, "A", ST_NUL, &existed, &error));
    CHECK(!existed && access(path_of("nowhere"), F_OK) != 0);
    st_secrets_free(secrets);

    /* A file in place of the directory. */
    write_file("blocked", "x");
    secrets = open_with("file_path", path_of("blocked/s.json"));
    CHECK_FAILS(st_secrets_set(secrets, "A", ST_NUL, "CANARY", ST_NUL, &error), ST_IO, "blocked");
    CHECK(error.source == ST_SOURCE_FILE && error.detail != 0);
    st_secrets_free(secrets);

    /* More than the limit of 1 MiB for one value. */
    static char large[(1 << 20) + 1];
    memset(large, 'x', sizeof large);
    secrets = open_with("file_path", path_of("large.json"));
    CHECK_FAILS(st_secrets_set(secrets, "A", ST_NUL, large, sizeof large, &error), ST_INVALID_ARGUMENT, "longer than");
    CHECK(access(path_of("large.json"), F_OK) != 0);
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, large, sizeof large - 1, &error));
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    new_file();
    edits();
    values();
    links();
    impossible();
    return 0;
}
