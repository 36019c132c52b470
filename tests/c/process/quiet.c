/* The library does not touch output, threads, signals, the working directory and file descriptors. */
#include <dirent.h>
#include <signal.h>

#include "check.h"

static int entries(const char *path) {
    int count = 0;
    DIR *directory = opendir(path);
    CHECK(directory != NULL);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

struct process {
    struct sigaction actions[65];
    sigset_t blocked;
    int threads, files;
    char directory[PATH_MAX];
    mode_t mask;
};

static void look(struct process *process) {
    memset(process, 0, sizeof *process);
    for (int signal = 1; signal <= 64; signal++) {
        (void)sigaction(signal, NULL, &process->actions[signal]);
    }
    sigprocmask(SIG_SETMASK, NULL, &process->blocked);
    process->threads = entries("/proc/self/task");
    process->files = entries("/proc/self/fd");
    CHECK(getcwd(process->directory, sizeof process->directory) != NULL);
    process->mask = umask(0);
    umask(process->mask);
}

static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)key, (void)key_len, (void)timeout;
    *(int *)context = entries("/proc/self/task");
    return st_reply_error(reply, ST_UNAVAILABLE, "out of order", ST_NUL);
}

int main(void) {
    static struct process before, after;
    begin();
    look(&before);

    st_error error = ST_ERROR_INIT;
    st_bytes value = {0};
    int threads = 0;
    st_secrets *secrets = open_with("file_path", path_of("quiet.json"));
    CHECK_OK(st_secrets_set(secrets, "HF_TOKEN", ST_NUL, "CANARY", ST_NUL, &error));
    CHECK_OK(st_secrets_get_hf_token(secrets, &value, &error));
    st_bytes_free(&value);
    CHECK_OK(st_secrets_add_provider(secrets, "broken", ST_NUL, ST_LAST, load, NULL, &threads, &error));
    CHECK_FAILS(st_secrets_get(secrets, "MISSING", ST_NUL, &value, &error), ST_UNAVAILABLE, "out of order");
    CHECK_FAILS(st_secrets_get(secrets, NULL, 5, &value, &error), ST_INVALID_ARGUMENT, "`key`");
    CHECK(chmod(path_of("quiet.json"), 0644) == 0);
    CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
    write_file("quiet.json", "CANARY");
    CHECK_FAILS(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error), ST_PROTOCOL, "quiet.json");
    CHECK_OK(st_secrets_check(secrets, &value, &error));
    st_bytes_free(&value);
    CHECK_OK(st_secrets_describe(NULL, &value, &error));
    st_bytes_free(&value);
    CHECK_OK(st_secrets_delete(NULL, "MISSING", ST_NUL, NULL, &error));
    CHECK(threads == before.threads);
    look(&after);
    CHECK(after.threads == before.threads);
    st_secrets_free(secrets);

    look(&after);
    for (int signal = 1; signal <= 64; signal++) {
        CHECK(after.actions[signal].sa_handler == before.actions[signal].sa_handler);
        CHECK(after.actions[signal].sa_flags == before.actions[signal].sa_flags);
        /* The kernel uses 64 bits; sigaction() does not set what follows them in the struct. */
        CHECK(memcmp(&after.actions[signal].sa_mask, &before.actions[signal].sa_mask, 8) == 0);
        /* None was changed before either: linking the library changes nothing. */
        CHECK(signal == 32 || signal == 33 || before.actions[signal].sa_handler == SIG_DFL);
    }
    CHECK(memcmp(&after.blocked, &before.blocked, sizeof(sigset_t)) == 0);
    CHECK(after.files == before.files);
    CHECK(strcmp(after.directory, before.directory) == 0 && after.mask == before.mask);
    return 0;
}
