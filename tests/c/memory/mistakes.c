/* Uses the library wrongly in a chosen way, for a memory tool to detect. */
#include "check.h"

static st_status answer_too_long(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout;
    char *value = calloc(1, 16);
    st_status status = st_reply_bytes(reply, value, 64, ST_TTL_DEFAULT);
    free(value);
    return status;
}

int main(int argc, char **argv) {
    begin();
    CHECK(argc == 2);
    st_error error = ST_ERROR_INIT;
    setenv("HF_TOKEN", "CANARY-and-some-more-text-behind-it", 1);
    st_secrets *secrets = open_with(NULL, NULL);
    size_t len = 0;
    if (strcmp(argv[1], "read-past-a-value") == 0) {
        st_bytes value = {0};
        (void)st_secrets_add_provider(secrets, "short", ST_NUL, ST_LAST, answer_too_long, NULL, NULL, &error);
        (void)st_secrets_get(secrets, "KEY", ST_NUL, &value, &error);
        st_bytes_free(&value);
    } else if (strcmp(argv[1], "write-past-a-buffer") == 0) {
        char *buffer = malloc(16);
        (void)st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, buffer, 64, &len, &error);
        free(buffer);
    } else if (strcmp(argv[1], "use-after-free") == 0) {
        st_secrets_free(secrets);
        (void)st_secrets_get_into(secrets, "HF_TOKEN", ST_NUL, NULL, 0, &len, &error);
        secrets = NULL;
    } else if (strcmp(argv[1], "leak") == 0) {
        for (int i = 0; i < 20; i++) {
            (void)!open_with("file_path", path_of("none.json"));
        }
    } else {
        CHECK(strcmp(argv[1], "none") == 0);
    }
    st_secrets_free(secrets);
    return 0;
}
