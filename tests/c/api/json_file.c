/* Secrets in a JSON file. */
#include "check.h"

static const char document[] = "{\n"
                               "  \"HF_TOKEN\": \"CANARY-plain\",\n"
                               "  \"ESCAPED\": \"CANARY\\n\\u00e9\\ud83d\\ude00\\\"\",\n"
                               "  \"NUMBER\": 1.50,\n"
                               "  \"LARGE\": 12345678901234567890123,\n"
                               "  \"FLAG\": true,\n"
                               "  \"NOTHING\": null,\n"
                               "  \"EMPTY\": \"\",\n"
                               "  \"NESTED\": { \"a b\" : [1, \"x y\", null] },\n"
                               "  \"NUL\": \"a\\u0000b\",\n"
                               "  \"TWICE\": \"first\",\n"
                               "  \"TWICE\": \"last\"\n"
                               "}\n";

static void values(void) {
    static const struct {
        const char *key, *value;
    } expected[] = {
        {"HF_TOKEN", "CANARY-plain"},
        {"ESCAPED", "CANARY\n\xC3\xA9\xF0\x9F\x98\x80\""},
        {"NUMBER", "1.50"},
        {"LARGE", "12345678901234567890123"},
        {"FLAG", "true"},
        {"EMPTY", ""},
        {"TWICE", "last"},
        {"NESTED", "{\"a b\":[1,\"x y\",null]}"},
    };
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secrets *secrets = open_with("file_path", write_file("secrets.json", document));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK_OK(st_secrets_get(secrets, expected[i].key, ST_NUL, &value, &error));
        CHECK_TEXT(value, expected[i].value);
        st_bytes_free(&value);
    }
    CHECK_OK(st_secrets_get(secrets, "NUL", ST_NUL, &value, &error));
    CHECK(value.len == 3 && memcmp(value.data, "a\0b", 4) == 0);
    st_bytes_free(&value);
    /* null counts as missing, and names are exact. */
    CHECK_FAILS(st_secrets_get(secrets, "NOTHING", ST_NUL, &value, &error), ST_NOT_FOUND, "has no such key");
    CHECK_FAILS(st_secrets_get(secrets, "hf_token", ST_NUL, &value, &error), ST_NOT_FOUND, "secrets.json");
    st_secrets_free(secrets);
}

/* The message names the file, the line and the column, and does not quote the file. */
static void broken_files(void) {
    static const struct {
        const char *text, *place;
    } broken[] = {
        {"{\n  \"A\": \"CANARY\",\n}", "broken.json, line 3, column 1"},
        {"{\n  \"A\": \"CANARY\" \"B\": 2}", "broken.json, line 2, column 17"},
        {"{\"A\": CANARY}", "broken.json, line 1, column 7"},
        {"\"CANARY\"", "broken.json, line 1, column 1"},
        {"[\"CANARY\"]", "broken.json, line 1, column 1"},
        {"", "broken.json, line 1, column 1"},
        {"{\n \"A\": \"\xFF CANARY\"}", "broken.json, line 2, column 8"},
    };
    st_error error = ST_ERROR_INIT;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        st_bytes value = {0};
        st_secrets *secrets = open_with("file_path", write_file("broken.json", broken[i].text));
        CHECK_FAILS(st_secrets_get(secrets, "A", ST_NUL, &value, &error), ST_PROTOCOL, broken[i].place);
        CHECK(error.source == ST_SOURCE_FILE);
        CHECK_EMPTY(value);
        CHECK_FAILS(st_secrets_set(secrets, "B", ST_NUL, "CANARY", ST_NUL, &error), ST_PROTOCOL, broken[i].place);
        CHECK(file_is("broken.json", broken[i].text));
        CHECK_FAILS(st_secrets_delete(secrets, "A", ST_NUL, NULL, &error), ST_PROTOCOL, broken[i].place);
        CHECK(file_is("broken.json", broken[i].text));
        CHECK_FAILS(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error), ST_PROTOCOL, broken[i].place);
        /* The environment precedes the broken file and is unaffected; a value after the broken file is flagged. */
        setenv("A", "CANARY-env", 1);
        CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
        st_bytes_free(&value);
        unsetenv("A");
        st_secrets_free(secrets);
    }
}

static int value_is(const st_secrets *secrets, const char *expected) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    int same = value.len == strlen(expected) && memcmp(value.data, expected, value.len) == 0;
    st_bytes_free(&value);
    return same;
}

/* The file is read again when it has changed; the library checks once a second, or on request. */
static void changes(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secrets *secrets = open_with("file_path", write_file("changing.json", "{\"A\": \"CANARY-1\"}"));
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-1");
    write_file("changing.json", "{\"A\": \"CANARY-number-2\"}");
    st_bytes later = {0};
    CHECK_OK(st_secrets_get_with(secrets, "A", ST_NUL, ST_TIMEOUT_DEFAULT, ST_GET_REFRESH, &later, NULL, &error));
    CHECK_TEXT(later, "CANARY-number-2");
    CHECK_TEXT(value, "CANARY-1");
    st_bytes_free(&later);
    st_bytes_free(&value);

    write_file("changing.json", "{\"A\": \"CANARY-three\"}");
    CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY-three");
    st_bytes_free(&value);

    write_file("changing.json", "{\"A\": \"CANARY-4\"}");
    /* Without a request, the library notices the change within about a second. */
    CHECK_SOON(value_is(secrets, "CANARY-4"));

    CHECK(remove(path_of("changing.json")) == 0);
    CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
    CHECK_FAILS(st_secrets_get(secrets, "A", ST_NUL, &value, &error), ST_NOT_FOUND, "does not exist");
    st_secrets_free(secrets);
}

/* Without `file_path`: the first of ~/.simpletuner/secrets.json, .yaml, .yml that exists. */
static void default_places(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, path = {0};
    CHECK(mkdir(path_of(".simpletuner"), 0700) == 0);
    st_secrets *secrets = open_with(NULL, NULL);
    CHECK_OK(st_secrets_file_path(secrets, &path, &error));
    CHECK_TEXT(path, path_of(".simpletuner/secrets.json"));
    st_bytes_free(&path);
    write_file(".simpletuner/secrets.json", "{\"HF_TOKEN\": \"CANARY-json\"}");
    CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-json");
    st_bytes_free(&value);
    st_secrets_free(secrets);

    secrets = open_with("file_path", "~/other.json");
    write_file("other.json", "{\"HF_TOKEN\": \"CANARY-tilde\"}");
    CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
    CHECK_TEXT(value, "CANARY-tilde");
    st_bytes_free(&value);
    st_secrets_free(secrets);
}

static void permissions(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, json = {0};
    st_config *config = st_config_new();
    st_secrets *strict = NULL, *lax = open_with("file_path", write_file("open.json", "{\"A\": \"CANARY\"}"));
    CHECK_OK(st_config_set(config, "file_path", ST_NUL, path_of("open.json"), ST_NUL, &error));
    CHECK_OK(st_config_set(config, "strict_permissions", ST_NUL, "true", ST_NUL, &error));
    CHECK_OK(st_secrets_open(config, &strict, &error));
    st_config_free(config);
    CHECK(chmod(path_of("open.json"), 0640) == 0);

    CHECK_OK(st_secrets_get(lax, "A", ST_NUL, &value, &error));
    st_bytes_free(&value);
    CHECK_OK(st_secrets_check(lax, &json, &error));
    CHECK_HAS(json, "\"state\": \"warning\"");
    CHECK_HAS(json, "chmod 600 ");
    st_bytes_free(&json);
    CHECK_FAILS(st_secrets_get(strict, "A", ST_NUL, &value, &error), ST_ACCESS_DENIED, "chmod 600 ");
    CHECK_FAILS(st_secrets_set(strict, "A", ST_NUL, "CANARY-2", ST_NUL, &error), ST_ACCESS_DENIED, "chmod 600 ");
    CHECK(file_is("open.json", "{\"A\": \"CANARY\"}"));

    CHECK(chmod(path_of("open.json"), 0600) == 0);
    CHECK_OK(st_secrets_refresh(strict, ST_TIMEOUT_DEFAULT, &error));
    CHECK_OK(st_secrets_get(strict, "A", ST_NUL, &value, &error));
    st_bytes_free(&value);
    st_secrets_free(strict);
    st_secrets_free(lax);
}

int main(void) {
    begin();
    values();
    broken_files();
    changes();
    default_places();
    permissions();
    return 0;
}
