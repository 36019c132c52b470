/*
 * Holds secrets from a JSON file, a YAML file, a directory, a custom provider and a cipher, frees others, has a
 * redactor of all of them, and then waits: a core file of it must not contain them in clear. It does not contain values
 * itself: names and files come from a script.
 *
 * usage: holder DIRECTORY [leak]
 * Prints "ready" when it is; "leak" copies a secret to ordinary memory, which is freed.
 */
#include <fcntl.h>

#include "check.h"

static char *leaked;
static int leaks;
static st_bytes kept[16];
static size_t count;
static st_error error = ST_ERROR_INIT;

static void keep(const st_secrets *secrets, const char *key, int for_long) {
    st_bytes value = {0};
    CHECK_OK(st_secrets_get(secrets, key, ST_NUL, &value, &error));
    CHECK(value.len >= 16);
    if (leaks && leaked == NULL) {
        leaked = malloc(value.len);
        memcpy(leaked, value.data, value.len);
    }
    if (for_long) {
        kept[count++] = value;
    } else {
        st_bytes_free(&value);
    }
}

/* Reads its value from a file, and wipes its own copy. */
static st_status load(void *context, const char *key, size_t key_len, double timeout, st_reply *reply) {
    (void)key, (void)key_len, (void)timeout;
    volatile char buffer[256];
    int file = open((const char *)context, O_RDONLY);
    CHECK(file >= 0);
    ssize_t len = read(file, (char *)buffer, sizeof buffer);
    CHECK(len > 0);
    st_status status = st_reply_bytes(reply, (const char *)buffer, (size_t)len, ST_TTL_DEFAULT);
    explicit_bzero((char *)buffer, sizeof buffer);
    close(file);
    return status;
}

/* The keys HELD, FREED and NESTED are in each file. */
static void use(const char *directory, const char *file, st_secrets **secrets) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    *secrets = open_with("file_path", path);
    keep(*secrets, "HELD", 1);
    keep(*secrets, "FREED", 0);
    keep(*secrets, "NESTED", 1);
    keep(*secrets, "ESCAPED", 1);
}

/* Encrypts the contents of a file with a key from another, keeps one decrypted copy and frees another. */
static void use_cipher(const char *directory) {
    static volatile char text[256];
    char path[PATH_MAX];
    st_cipher *cipher;
    st_bytes token = {0}, copy = {0};
    st_config *config = st_config_new();
    snprintf(path, sizeof path, "%s/credential.key", directory);
    CHECK_OK(st_config_set(config, "key_file", ST_NUL, path, ST_NUL, &error));
    CHECK_OK(st_cipher_open(config, &cipher, &error));
    st_config_free(config);
    snprintf(path, sizeof path, "%s/credential", directory);
    int file = open(path, O_RDONLY);
    ssize_t len = read(file, (char *)text, sizeof text);
    CHECK(len > 16);
    close(file);
    CHECK_OK(st_encrypt(cipher, (const char *)text, (size_t)len, &token, &error));
    explicit_bzero((char *)text, sizeof text);
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &kept[14], &error));
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &copy, &error));
    CHECK(kept[14].len == (size_t)len);
    st_bytes_free(&copy);
    st_bytes_free(&token);
}

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    leaks = argc > 2;
    static char own[PATH_MAX], path[PATH_MAX];
    st_secrets *json, *yaml, *mount, *forgotten;
    st_bytes report = {0};
    CHECK_OK(st_redactor_start(NULL, &error));
    use(argv[1], "s.json", &json);
    use(argv[1], "s.yaml", &yaml);
    use(argv[1], "mount", &mount);
    snprintf(own, sizeof own, "%s/own", argv[1]);
    CHECK_OK(st_secrets_add_provider(json, "own", ST_NUL, ST_LAST, load, NULL, own, &error));
    keep(json, "OWN", 1);
    keep(json, "OWN", 0);

    /* One file that is changed here, and one that is opened, read and closed. */
    CHECK_OK(st_secrets_set(json, "ADDED", ST_NUL, "x", ST_NUL, &error));
    CHECK_OK(st_secrets_delete(yaml, "GONE", ST_NUL, NULL, &error));
    CHECK_OK(st_secrets_refresh(yaml, ST_TIMEOUT_DEFAULT, &error));
    use(argv[1], "forgotten.json", &forgotten);
    while (count > 13) {
        st_bytes_free(&kept[--count]);
    }
    st_secrets_free(forgotten);

    use_cipher(argv[1]);

    /* A broken file contains secrets too. */
    snprintf(path, sizeof path, "%s/broken.yaml", argv[1]);
    st_secrets *broken = open_with("file_path", path);
    CHECK_FAILS(st_secrets_get(broken, "HELD", ST_NUL, &kept[15], &error), ST_PROTOCOL, "broken.yaml");
    CHECK_OK(st_secrets_check(broken, &report, &error));
    st_bytes_free(&report);

    /* Computes the forms of all values. */
    CHECK_OK(st_redact(NULL, "a text", ST_NUL, &report, &error));
    CHECK_TEXT(report, "a text");
    st_bytes_free(&report);

    puts("ready");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
