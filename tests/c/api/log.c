/* The log: levels, messages, and when its context is released. */
#include "check.h"

struct journal {
    int count, drops, most;
    char all[1 << 16];
    st_secrets *manager; /* the log callback may call the library */
};

static void note(void *context, int32_t level, const char *target, const char *message, size_t len) {
    struct journal *journal = context;
    CHECK(level >= ST_LOG_ERROR && level <= ST_LOG_TRACE);
    CHECK(target != NULL && target[0] != 0);
    CHECK(strlen(message) == len && len > 0);
    CHECK(strlen(journal->all) + len + 2 < sizeof journal->all);
    strcat(strcat(journal->all, message), "\n");
    journal->count++;
    journal->most = level > journal->most ? level : journal->most;
    if (journal->manager != NULL) {
        st_error error = ST_ERROR_INIT;
        st_bytes value = {0};
        CHECK_OK(st_secrets_get(journal->manager, "HF_TOKEN", ST_NUL, &value, &error));
        st_bytes_free(&value);
    }
}

static void drop(void *context) {
    ((struct journal *)context)->drops++;
}

/* Causes a message of each kind: a file that other users may read, a failing provider, a value that is found. */
static void make_noise(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    const char *path = write_file("open.json", "{\"HF_TOKEN\": \"CANARY-in-the-file\"}");
    CHECK(chmod(path, 0644) == 0);
    st_secrets *secrets = open_with("file_path", path);
    CHECK_OK(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error));
    st_bytes_free(&value);
    st_secrets_free(secrets);

    secrets = open_with("file_path", write_file("broken.json", "{\"HF_TOKEN\": CANARY}"));
    CHECK_FAILS(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error), ST_PROTOCOL, "broken.json");
    CHECK_FAILS(st_secrets_set(secrets, "NEW", ST_NUL, "CANARY-set", ST_NUL, &error), ST_PROTOCOL, "broken.json");
    st_secrets_free(secrets);

    setenv("LOG_TOKEN", "CANARY-in-the-environment", 1);
    CHECK_OK(st_secrets_get(NULL, "LOG_TOKEN", ST_NUL, &value, &error));
    st_bytes_free(&value);
}

static struct journal journals[8];

static void levels(void) {
    st_error error = ST_ERROR_INIT;
    int before = 0;
    for (int32_t level = ST_LOG_OFF; level <= ST_LOG_TRACE; level++) {
        struct journal *journal = &journals[level];
        CHECK_OK(st_log_set(level, note, drop, journal, &error));
        make_noise();
        CHECK(journal->most <= level && journal->count >= before);
        before = journal->count;
        CHECK(strstr(journal->all, "CANARY") == NULL);
        /* With the log off, the context is released at once. */
        CHECK(journal->drops == (level == ST_LOG_OFF ? 1 : 0));
        CHECK(level <= ST_LOG_ERROR || journals[level - 1].drops == 1);
    }
    CHECK(journals[ST_LOG_OFF].count == 0);
    CHECK(strstr(journals[ST_LOG_WARN].all, "chmod 600") != NULL);
    CHECK(strstr(journals[ST_LOG_WARN].all, "broken.json") != NULL);
    CHECK(strstr(journals[ST_LOG_INFO].all, "read ") != NULL);
    CHECK(strstr(journals[ST_LOG_DEBUG].all, "LOG_TOKEN") != NULL);

    /* NULL stops the log; the last context is released, and no other one again. */
    CHECK_OK(st_log_set(ST_LOG_TRACE, NULL, NULL, NULL, &error));
    before = journals[ST_LOG_TRACE].count;
    make_noise();
    CHECK(journals[ST_LOG_TRACE].count == before);
    for (int i = 0; i <= ST_LOG_TRACE; i++) {
        CHECK(journals[i].drops == 1);
    }
}

static void log_callback_calls_the_library(void) {
    st_error error = ST_ERROR_INIT;
    setenv("HF_TOKEN", "CANARY-asked-by-the-log", 1);
    struct journal *journal = &journals[6];
    journal->manager = open_with(NULL, NULL);
    CHECK_OK(st_log_set(ST_LOG_TRACE, note, drop, journal, &error));
    st_bytes value = {0};
    CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
    st_bytes_free(&value);
    CHECK(journal->count == 1);
    CHECK_OK(st_log_set(ST_LOG_OFF, NULL, NULL, NULL, &error));
    CHECK(journal->drops == 1);
    st_secrets_free(journal->manager);
    unsetenv("HF_TOKEN");
}

static void rejected_log_is_released(void) {
    st_error error = ST_ERROR_INIT;
    struct journal *journal = &journals[7];
    CHECK_FAILS(st_log_set(6, note, drop, journal, &error), ST_INVALID_ARGUMENT, "`max_level`");
    CHECK(journal->drops == 1 && journal->count == 0);
}

struct fields {
    int provider, key, path, errors, drops;
};

static void note_fields(void *context, int32_t level, const char *target, const char *message, size_t len,
                        const st_log_field *fields, size_t count) {
    struct fields *noted = context;
    CHECK(level >= ST_LOG_ERROR && level <= ST_LOG_TRACE && target[0] != 0 && strlen(message) == len);
    for (size_t at = 0; at < count; at++) {
        const st_log_field *field = &fields[at];
        CHECK(field->kind == ST_FIELD_TEXT ? strlen(field->text) == field->len : field->text == NULL);
        CHECK(field->kind != ST_FIELD_TEXT || strstr(field->text, "CANARY") == NULL);
        noted->provider += strcmp(field->name, "provider") == 0 && strcmp(field->text, "env") == 0;
        noted->key += strcmp(field->name, "key") == 0 && strcmp(field->text, "LOG_TOKEN") == 0;
        noted->path += strcmp(field->name, "path") == 0 && strstr(field->text, "open.json") != NULL;
        noted->errors += strcmp(field->name, "error") == 0 && strcmp(field->text, "ST_PROTOCOL") == 0;
    }
}

static void drop_fields(void *context) {
    ((struct fields *)context)->drops++;
}

static void fields_are_parts_of_the_messages(void) {
    static struct fields noted, rejected;
    st_error error = ST_ERROR_INIT;
    CHECK_OK(st_log_set_fields(ST_LOG_TRACE, note_fields, drop_fields, &noted, &error));
    make_noise();
    CHECK(noted.provider == 1 && noted.key == 1 && noted.path == 2 && noted.errors == 1);
    CHECK(noted.drops == 0);
    CHECK_OK(st_log_set(ST_LOG_OFF, NULL, NULL, NULL, &error));
    CHECK(noted.drops == 1);
    CHECK_FAILS(st_log_set_fields(6, note_fields, drop_fields, &rejected, &error), ST_INVALID_ARGUMENT, "`max_level`");
    CHECK(rejected.drops == 1);
}

int main(void) {
    begin();
    levels();
    log_callback_calls_the_library();
    fields_are_parts_of_the_messages();
    rejected_log_is_released();
    return 0;
}
