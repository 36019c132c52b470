/* A panic inside the library: it returns a status, prints nothing, hides the panic's message, and remains usable. */
#include <pthread.h>

#include "check.h"

st_status st_test_panic(st_error *error);

static void panics(void) {
    st_error error = ST_ERROR_INIT;
    CHECK_FAILS(st_test_panic(&error), ST_PANIC, "a bug");
    CHECK(error.source == ST_SOURCE_NONE);
    CHECK(st_test_panic(NULL) == ST_PANIC);
}

/* Inside a provider's callback. */
static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout;
    panics();
    return st_reply_bytes(reply, "CANARY-after", ST_NUL, ST_TTL_DEFAULT);
}

static void *work(void *argument) {
    const st_secrets *secrets = argument;
    st_error error = ST_ERROR_INIT;
    for (int i = 0; i < 50; i++) {
        st_bytes value = {0};
        panics();
        CHECK_OK(st_secrets_get(secrets, "KEY", ST_NUL, &value, &error));
        CHECK_TEXT(value, "CANARY-after");
        st_bytes_free(&value);
        CHECK_OK(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error));
        CHECK_TEXT(value, "CANARY-file");
        st_bytes_free(&value);
    }
    return NULL;
}

int main(void) {
    begin();
    panics(); /* the very first call */
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = open_with("file_path", write_file("panic.json", "{\"HF_TOKEN\": \"CANARY-file\"}"));
    CHECK_OK(st_secrets_add_provider(secrets, "panics", ST_NUL, ST_LAST, load, NULL, NULL, &error));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, secrets) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK_OK(st_secrets_set(secrets, "HF_TOKEN", ST_NUL, "CANARY-set", ST_NUL, &error));
    st_secrets_free(secrets);
    return 0;
}
