/* Two Rust archives in one program: both panic and survive, alternately. */
#include <pthread.h>

#include "check.h"

st_status st_test_panic(st_error *error);
int other_panic(void);

static void *work(void *nothing) {
    st_error error = ST_ERROR_INIT;
    for (int i = 0; i < 20; i++) {
        st_bytes value = {0};
        CHECK_FAILS(st_test_panic(&error), ST_PANIC, "a bug");
        CHECK(other_panic() == 7);
        CHECK_OK(st_secrets_get(NULL, "HF_TOKEN", ST_NUL, &value, &error));
        CHECK_TEXT(value, "CANARY");
        st_bytes_free(&value);
    }
    return nothing;
}

int main(int argc, char **argv) {
    (void)argv;
    begin();
    setenv("HF_TOKEN", "CANARY", 1);
    CHECK(argc == 1 || other_panic() == 7); /* with an argument, the other archive begins */
    work(NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    puts("survived");
    return 0;
}
