/*
 * Memory that cannot be locked is reported, also in the child of a fork(), which does not inherit locks.
 *
 * usage: memory_lock usual|refused
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

static st_secrets *secrets;
static st_error error = ST_ERROR_INIT;

static void keep_a_secret(void) {
    static st_bytes kept[8];
    static int count;
    CHECK_OK(st_secrets_get(secrets, "HF_TOKEN", ST_NUL, &kept[count++], &error));
}

/* The report has this state of the memory and this text. All providers are fine. */
static void memory_is(const char *state, const char *text) {
    st_bytes json = {0};
    CHECK_OK(st_secrets_check(secrets, &json, &error));
    const char *memory = strstr((const char *)json.data, "\"memory\"");
    CHECK(memory != NULL);
    char expected[64];
    snprintf(expected, sizeof expected, "\"state\": \"%s\"", state);
    if (strstr(memory, expected) == NULL || strstr(memory, text) == NULL) {
        check_failed(__FILE__, __LINE__, "expected %s and %s in: %s", expected, text, memory);
    }
    CHECK((strstr(memory, "\"unlocked_bytes\": 0") != NULL) == (strcmp(state, "ok") == 0));
    st_bytes_free(&json);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    int refused = strcmp(argv[1], "refused") == 0;
    begin();
    alarm(300);
    struct rlimit none = {0, 0};
    CHECK(!refused || setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    setenv("HF_TOKEN", "CANARY", 1);
    secrets = open_with("providers", "[\"env\"]");
    keep_a_secret();
    memory_is(refused ? "warning" : "ok", refused ? "ulimit -l" : "no secret can be written to swap");

    pid_t pid = fork();
    if (pid == 0) {
        alarm(300);
        /* Inherited memory is not locked until the child stores a secret itself. */
        memory_is("warning", refused ? "ulimit -l" : "not inherited");
        keep_a_secret();
        memory_is(refused ? "warning" : "ok", "mapped_bytes");
        exit(0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    memory_is(refused ? "warning" : "ok", "mapped_bytes");
    return 0;
}
