/* Secrets in a YAML file. */
#include "check.h"

static const char document[] = "# tokens of the training cluster\n"
                               "HF_TOKEN: CANARY-plain   # from the hub\n"
                               "quoted: \"CANARY\\n\\u00e9\"\n"
                               "single: 'CANARY ''x'''\n"
                               "number: 1.50\n"
                               "hex: 0x1F\n"
                               "large: 12345678901234567890123\n"
                               "flag: true\n"
                               "word: yes\n"
                               "nothing: null\n"
                               "tilde: ~\n"
                               "empty: \"\"\n"
                               "block: |\n"
                               "  CANARY one\n"
                               "  CANARY two\n"
                               "nested:\n"
                               "  a: [1, x y]\n"
                               "last: CANARY-end\n";

static void values(void) {
    static const struct {
        const char *key, *value;
    } expected[] = {
        {"HF_TOKEN", "CANARY-plain"},
        {"quoted", "CANARY\n\xC3\xA9"},
        {"single", "CANARY 'x'"},
        {"number", "1.50"},
        {"hex", "0x1F"},
        {"large", "12345678901234567890123"},
        {"flag", "true"},
        {"word", "yes"},
        {"empty", ""},
        {"block", "CANARY one\nCANARY two\n"},
        {"nested", "{\"a\":[1,\"x y\"]}"},
        {"last", "CANARY-end"},
    };
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    st_secrets *secrets = open_with("file_path", write_file("secrets.yaml", document));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        CHECK_OK(st_secrets_get(secrets, expected[i].key, ST_NUL, &value, &error));
        CHECK_TEXT(value, expected[i].value);
        st_bytes_free(&value);
    }
    CHECK_FAILS(st_secrets_get(secrets, "nothing", ST_NUL, &value, &error), ST_NOT_FOUND, "has no such key");
    CHECK_FAILS(st_secrets_get(secrets, "tilde", ST_NUL, &value, &error), ST_NOT_FOUND, "secrets.yaml");
    st_secrets_free(secrets);
}

static void broken_files(void) {
    static const struct {
        const char *text, *place;
    } broken[] = {
        {"A: CANARY\nB: [CANARY\n", "broken.yml, line "}, {"A: CANARY\n  B: CANARY: CANARY\n", "broken.yml, line 2"},
        {"A: 1\nB: \"CANARY\n", "broken.yml, line "},     {"- CANARY\n- CANARY\n", "broken.yml, line 1, column 1"},
        {"CANARY\n", "broken.yml, line 1, column 1"},     {"A: 1\nB: \xFF CANARY\n", "broken.yml, line 2, column 4"},
    };
    st_error error = ST_ERROR_INIT;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        st_bytes value = {0};
        st_secrets *secrets = open_with("file_path", write_file("broken.yml", broken[i].text));
        CHECK_FAILS(st_secrets_get(secrets, "A", ST_NUL, &value, &error), ST_PROTOCOL, broken[i].place);
        CHECK_FAILS(st_secrets_set(secrets, "B", ST_NUL, "CANARY", ST_NUL, &error), ST_PROTOCOL, broken[i].place);
        CHECK_FAILS(st_secrets_delete(secrets, "A", ST_NUL, NULL, &error), ST_PROTOCOL, broken[i].place);
        CHECK(file_is("broken.yml", broken[i].text));
        st_secrets_free(secrets);
    }
}

/* An edit preserves comments and order; a written value is found, whatever characters it has. */
static void edits(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    bool existed = false;
    st_secrets *secrets =
        open_with("file_path", write_file("edited.yaml", "# head\nA: 1 # one\n\nB: CANARY\n# tail\n"));
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "CANARY-new", ST_NUL, &error));
    static char text[4096];
    FILE *file = fopen(path_of("edited.yaml"), "r");
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    const char *order[] = {"# head\n", "A:", "CANARY-new", "# one", "B: CANARY\n", "# tail"};
    const char *place = text;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *next = strstr(place, order[i]);
        if (next == NULL) {
            check_failed(__FILE__, __LINE__, "%s is missing or out of order in:\n%s", order[i], text);
        }
        place = next;
    }
    static const char *const hard[] = {
        "CANARY",      "",       " CANARY ", "# CANARY", "a: b", "- x", "'\"'",     "yes",  "1.50",     "null", "~",
        "line\nbreak", "tab\tx", "\xC3\xA9", "&a *b",    "!tag", "{a}", "[b]",      "%",    "CANARY\n", "\n",   "|",
        "\\n",         "a #b",   ": ",       "---",      "@x",   "`x`", "\x7F\x01", "\r\n", "? x",      "...",  "=",
    };
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
        CHECK_OK(st_secrets_set(secrets, "HARD", ST_NUL, hard[i], ST_NUL, &error));
        CHECK_OK(st_secrets_get(secrets, "HARD", ST_NUL, &value, &error));
        CHECK_TEXT(value, hard[i]);
        st_bytes_free(&value);
    }
    CHECK_OK(st_secrets_delete(secrets, "HARD", ST_NUL, &existed, &error));
    CHECK(existed);
    CHECK_OK(st_secrets_delete(secrets, "HARD", ST_NUL, &existed, &error));
    CHECK(!existed);
    CHECK_OK(st_secrets_get(secrets, "B", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY");
    st_bytes_free(&value);
    st_secrets_free(secrets);
}

/* A new file has the format of its name. */
static void new_files(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0}, json = {0};
    struct stat state;
    st_secrets *secrets = open_with("file_path", path_of("new/new.yaml"));
    CHECK_OK(st_secrets_set(secrets, "HF_TOKEN", ST_NUL, "CANARY: x", ST_NUL, &error));
    CHECK(stat(path_of("new/new.yaml"), &state) == 0 && (state.st_mode & 07777) == 0600);
    CHECK_OK(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY: x");
    st_bytes_free(&value);
    CHECK_OK(st_secrets_describe(secrets, &json, &error));
    CHECK_HAS(json, "\"format\": \"yaml\"");
    st_bytes_free(&json);
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    values();
    broken_files();
    edits();
    new_files();
    return 0;
}
