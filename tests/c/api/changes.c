/* Live changes: the generation, watches, listening, invalidation. */
#include <math.h>

#include "check.h"

struct calls {
    int count, drops;
    char key[32];
    uint64_t generation;
};

static void changed(void *context, const char *key, size_t key_len, uint64_t generation) {
    struct calls *calls = context;
    calls->count++;
    CHECK(key == NULL ? key_len == 0 : strlen(key) == key_len);
    snprintf(calls->key, sizeof calls->key, "%s", key != NULL ? key : "all");
    calls->generation = generation;
}

static void drop(void *context) {
    ((struct calls *)context)->drops++;
}

static void watches(void) {
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = open_with("file_path", write_file("changes.json", "{\"A\": \"first\"}"));
    st_bytes value = {0};
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    st_bytes_free(&value);

    struct calls one = {0}, all = {0};
    uint64_t before = 7, after = 7, id = 0, id_of_all = 0;
    CHECK_OK(st_secrets_generation(secrets, &before, &error));
    CHECK(before == 0);
    CHECK_OK(st_secrets_watch(secrets, "A", ST_NUL, changed, drop, &one, &id, &error));
    CHECK_OK(st_secrets_watch(secrets, NULL, 0, changed, drop, &all, &id_of_all, &error));
    CHECK(id != id_of_all);
    CHECK_OK(st_secrets_listen(secrets, before, 0.0, &after, &error));
    CHECK(after == before && one.count == 0 && all.count == 0);

    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "second", 6, &error));
    CHECK_OK(st_secrets_listen(secrets, before, 60.0, &after, &error));
    CHECK(after > before && one.count == 1 && all.count == 1);
    CHECK(strcmp(one.key, "A") == 0 && strcmp(all.key, "all") == 0 && one.generation == after);

    CHECK_OK(st_secrets_unwatch(secrets, id, &error));
    CHECK(one.drops == 1);
    CHECK_FAILS(st_secrets_unwatch(secrets, id, &error), ST_NOT_FOUND, "no watch");
    CHECK_OK(st_secrets_set(secrets, "A", ST_NUL, "third", 5, &error));
    /* A get that finds a change calls too. */
    CHECK_OK(st_secrets_get(secrets, "A", ST_NUL, &value, &error));
    st_bytes_free(&value);
    CHECK(one.count == 1 && all.count == 2 && all.drops == 0);
    st_secrets_free(secrets);
    CHECK(all.drops == 1);
}

static void invalidation(void) {
    st_error error = ST_ERROR_INIT;
    st_secrets *alone = open_with("file_path", path_of("none.json"));
    st_bytes report = {0};
    CHECK_FAILS(st_secrets_invalidate(alone, NULL, 0, ST_SCOPE_HOST, 1.0, &report, &error), ST_CONFIG, "`share`");
    CHECK_FAILS(st_secrets_invalidate(alone, NULL, 0, ST_SCOPE_CLUSTER, 1.0, &report, &error), ST_CONFIG, "share_url");
    st_secrets_free(alone);

    char directory[] = "/dev/shm/st-secrets-test-XXXXXX";
    CHECK(mkdtemp(directory) != NULL);
    char settings[128];
    snprintf(settings, sizeof settings, "{\"share\": \"host\", \"share_dir\": \"%s\"}", directory);
    st_config *config = st_config_new();
    st_secrets *secrets = NULL;
    CHECK_OK(st_config_parse(config, settings, ST_NUL, &error));
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    st_config_free(config);
    CHECK_OK(st_secrets_invalidate(secrets, "A", ST_NUL, ST_SCOPE_HOST, INFINITY, &report, &error));
    CHECK(strstr((const char *)report.data, "\"silent\":[]") != NULL);
    CHECK(strstr((const char *)report.data, "\"complete\":true") != NULL);
    st_bytes_free(&report);
    st_secrets_free(secrets);
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", directory);
    CHECK(system(command) == 0);
}

static void bad_arguments(void) {
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = open_with("file_path", path_of("none.json"));
    struct calls calls = {0};
    uint64_t number = 0;
    st_bytes report = {0};
    CHECK_FAILS(st_secrets_generation(secrets, NULL, &error), ST_INVALID_ARGUMENT, "`generation`");
    CHECK_FAILS(st_secrets_watch(secrets, "A", ST_NUL, NULL, drop, &calls, NULL, &error), ST_INVALID_ARGUMENT,
                "`changed`");
    CHECK_FAILS(st_secrets_watch(secrets, "", 0, changed, drop, &calls, NULL, &error), ST_INVALID_ARGUMENT,
                "1 to 2048");
    CHECK(calls.drops == 2);
    CHECK_FAILS(st_secrets_listen(secrets, 0, 1.0, NULL, &error), ST_INVALID_ARGUMENT, "`generation`");
    CHECK_FAILS(st_secrets_listen(secrets, 0, -1.0, &number, &error), ST_INVALID_ARGUMENT, "`timeout`");
    CHECK_FAILS(st_secrets_listen(secrets, 0, NAN, &number, &error), ST_INVALID_ARGUMENT, "`timeout`");
    CHECK_FAILS(st_secrets_invalidate(secrets, NULL, 0, 3, 1.0, &report, &error), ST_INVALID_ARGUMENT, "`scope`");
    CHECK_FAILS(st_secrets_invalidate(secrets, NULL, 0, ST_SCOPE_HOST, -1.0, &report, &error), ST_INVALID_ARGUMENT,
                "`timeout`");
    CHECK_FAILS(st_secrets_invalidate(secrets, NULL, 0, ST_SCOPE_HOST, 1.0, NULL, &error), ST_INVALID_ARGUMENT,
                "`report`");
    st_secrets_free(secrets);
}

int main(void) {
    begin();
    watches();
    invalidation();
    bad_arguments();
    return 0;
}
