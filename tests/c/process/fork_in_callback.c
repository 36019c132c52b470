/* A provider's callback forks: parent and child both return through the library. */
#include <sys/wait.h>

#include "check.h"

static st_secrets *secrets;
static st_error error = ST_ERROR_INIT;

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)context, (void)key, (void)key_len, (void)timeout;
    pid_t pid = fork();
    if (pid == 0) {
        st_bytes value = {0};
        alarm(300);
        st_status status = st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, NULL);
        st_bytes_free(&value);
        return status == ST_OK ? st_reply_bytes(reply, "CANARY-child", ST_NUL, ST_TTL_DEFAULT) : status;
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return st_reply_bytes(reply, "CANARY-parent", ST_NUL, ST_TTL_DEFAULT);
}

int main(void) {
    begin();
    pid_t parent = getpid();
    st_bytes value = {0};
    setenv("HF_TOKEN", "CANARY", 1);
    secrets = open_with("providers", "[\"env\"]");
    CHECK_OK(st_secrets_add_provider(secrets, "forks", ST_NUL, ST_LAST, load, NULL, NULL, &error));
    CHECK_OK(st_secrets_get(secrets, "KEY", ST_NUL, &value, &error));
    CHECK_TEXT(value, getpid() == parent ? "CANARY-parent" : "CANARY-child");
    st_bytes_free(&value);
    st_secrets_free(secrets);
    return 0;
}
