/*
 * A thousand threads load the library, use it and unload it, as plug-ins and Node workers do. It stays loaded
 * (NODELETE), so that its handlers for the end of a thread and for fork() remain valid.
 *
 * usage: unload LIBRARY
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

static const char *library;

static void *find(void *handle, const char *name) {
    void *function = dlsym(handle, name);
    CHECK(function != NULL);
    return function;
}

static void *load_use_unload(void *nothing) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL);
    st_status (*secrets_open)(const st_config *, st_secrets **, st_error *);
    st_status (*secrets_get)(const st_secrets *, const char *, size_t, st_bytes *, st_error *);
    void (*secrets_free)(st_secrets *);
    void (*bytes_free)(st_bytes *);
    *(void **)&secrets_open = find(handle, "st_secrets_open");
    *(void **)&secrets_get = find(handle, "st_secrets_get");
    *(void **)&secrets_free = find(handle, "st_secrets_free");
    *(void **)&bytes_free = find(handle, "st_bytes_free");
    st_secrets *secrets = NULL;
    st_bytes value = {0};
    st_error error = ST_ERROR_INIT;
    CHECK_OK(secrets_open(NULL, &secrets, &error));
    CHECK_OK(secrets_get(secrets, "HF_TOKEN", ST_NUL, &value, &error));
    CHECK_TEXT(value, "CANARY");
    secrets_free(secrets);
    CHECK(dlclose(handle) == 0);
    /* Perhaps no thread has it open now; bytes are valid nevertheless. */
    CHECK_TEXT(value, "CANARY");
    bytes_free(&value);
    return nothing;
}

/* CHECK_OK uses this function of the library, which is not linked here. */
const char *st_status_name(st_status status) {
    static char text[16];
    snprintf(text, sizeof text, "%d", status);
    return text;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    library = argv[1];
    begin();
    alarm(1500);
    setenv("HF_TOKEN", "CANARY", 1);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    static pthread_t threads[1000];
    /* First one after the other, so that it would be unloaded in between; then all at once. */
    for (int i = 0; i < 100; i++) {
        CHECK(pthread_create(&threads[i], &attributes, load_use_unload, NULL) == 0);
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    for (int i = 100; i < 1000; i++) {
        CHECK(pthread_create(&threads[i], &attributes, load_use_unload, NULL) == 0);
    }
    for (int i = 100; i < 1000; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    CHECK(handle != NULL && dlclose(handle) == 0);
    /* Its fork() handlers still work. */
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300);
        load_use_unload(NULL);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return 0;
}
