/* Credentials: encrypting, decrypting, key sources, rotation. */
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

static st_error error = ST_ERROR_INIT;

static st_cipher *open_cipher(const char *json) {
    st_config *config = st_config_new();
    st_cipher *cipher = NULL;
    CHECK_OK(st_config_parse(config, json, ST_NUL, &error));
    CHECK_OK(st_cipher_open(config, &cipher, &error));
    st_config_free(config);
    CHECK(cipher != NULL);
    return cipher;
}

static void encrypt_and_decrypt(void) {
    st_cipher *cipher = open_cipher("{\"key\": \"CANARY secret\"}");
    st_bytes token = {0}, plain = {0};
    CHECK_OK(st_encrypt(cipher, "r8_CANARY", ST_NUL, &token, &error));
    CHECK(token.len == 136 && strlen((const char *)token.data) == 136);
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &plain, &error));
    CHECK_TEXT(plain, "r8_CANARY");
    st_bytes_free(&plain);
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, ST_NUL, &plain, &error));
    CHECK_TEXT(plain, "r8_CANARY");
    st_bytes_free(&plain);
    st_bytes_free(&token);

    /* Arbitrary bytes, and none. */
    CHECK_OK(st_encrypt(cipher, "a\0b", 3, &token, &error));
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &plain, &error));
    CHECK(plain.len == 3 && memcmp(plain.data, "a\0b", 4) == 0);
    st_bytes_free(&plain);
    st_bytes_free(&token);
    CHECK_OK(st_encrypt(cipher, NULL, 0, &token, &error));
    CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &plain, &error));
    CHECK_TEXT(plain, "");
    st_cipher_free(cipher);
    /* Returned values outlive the cipher. */
    CHECK_TEXT(plain, "");
    st_bytes_free(&plain);
    st_bytes_free(&token);
    st_cipher_free(NULL);
}

/* Made by Python from the secret "known secret": the format never changes. */
static void known_token(void) {
    st_cipher *cipher = open_cipher("{\"key\": \"known secret\"}");
    static const char known[] =
        "Z0FBQUFBQWR3SjZ3QUFFQ0F3UUZCZ2NJQ1FvTERBME9Eek0zMklKdDBwb0FnRlZ4bHc3N2xkVG9pektfS3NraXZZYjZMeXhMQjds"
        "QWNNWnljdmxlc1FzVTVuNEZCSVIxLWc9PQ==";
    st_bytes plain = {0};
    CHECK_OK(st_decrypt(cipher, known, ST_NUL, &plain, &error));
    CHECK_TEXT(plain, "hello");
    st_bytes_free(&plain);
    st_cipher_free(cipher);
}

static void into_buffers(void) {
    st_cipher *cipher = open_cipher("{\"key\": \"secret\"}");
    char token[512], plain[16] = "---------------";
    size_t len = 9, needed = 0;
    CHECK_OK(st_encrypt_into(cipher, "value", 5, NULL, 0, &needed, &error));
    CHECK_FAILS(st_encrypt_into(cipher, "value", 5, token, needed - 1, &len, &error), ST_BUFFER_TOO_SMALL, "needed");
    CHECK(len == needed);
    CHECK_OK(st_encrypt_into(cipher, "value", 5, token, needed, &len, &error));
    CHECK(len == needed);
    CHECK_OK(st_decrypt_into(cipher, token, len, NULL, 0, &needed, &error));
    CHECK(needed == 5);
    CHECK_FAILS(st_decrypt_into(cipher, token, len, plain, 4, &needed, &error), ST_BUFFER_TOO_SMALL, "5");
    CHECK(needed == 5 && strcmp(plain, "---------------") == 0);
    CHECK_OK(st_decrypt_into(cipher, token, len, plain, sizeof plain, &needed, &error));
    CHECK(needed == 5 && memcmp(plain, "value-", 6) == 0);
    token[30] ^= 1;
    CHECK_FAILS(st_decrypt_into(cipher, token, len, plain, sizeof plain, &needed, &error), ST_BAD_TOKEN, "another key");
    CHECK(needed == 0 && memcmp(plain, "value-", 6) == 0);
    st_cipher_free(cipher);
}

static void bad_tokens_have_the_same_error(void) {
    st_cipher *cipher = open_cipher("{\"key\": \"secret\"}"), *other = open_cipher("{\"key\": \"CANARY\"}");
    char answer[512];
    st_bytes plain, token = {0};
    memset(&plain, 0x5A, sizeof plain);
    CHECK_OK(st_encrypt(other, "value", 5, &token, &error));
    CHECK_FAILS(st_decrypt(cipher, (const char *)token.data, token.len, &plain, &error), ST_BAD_TOKEN, "another key");
    CHECK_EMPTY(plain);
    CHECK(error.source == ST_SOURCE_ENCRYPTION && error.detail == 0 && error.flags == 0);
    strcpy(answer, error.message);
    const char *const bad[] = {"", "CANARY", "gAAAAA==", "====", "\xFF\xFE", "\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(st_decrypt(cipher, bad[i], ST_NUL, &plain, &error), ST_BAD_TOKEN, answer);
    }
    st_bytes_free(&token);
    st_cipher_free(cipher);
    st_cipher_free(other);
}

static void rotation(void) {
    char json[PATH_MAX + 64];
    snprintf(json, sizeof json, "{\"key_file\": \"%s\", \"previous_keys\": [\"oldest\"]}", path_of("made/key"));
    st_cipher *cipher = open_cipher(json), *oldest = open_cipher("{\"key\": \"oldest\"}");
    st_bytes token = {0}, ancient = {0}, new = {0}, plain = {0};
    bool changed = false;
    CHECK_OK(st_encrypt(cipher, "value", 5, &token, &error));
    CHECK_OK(st_encrypt(oldest, "value", 5, &ancient, &error));
    CHECK_OK(st_rotate_key(cipher, &error));
    struct stat state;
    CHECK(stat(path_of("made/key"), &state) == 0 && (state.st_mode & 0777) == 0600);
    CHECK(stat(path_of("made/key.previous"), &state) == 0 && (state.st_mode & 0777) == 0600);

    const st_bytes *given[] = {&token, &ancient};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(st_reencrypt(cipher, (const char *)given[i]->data, given[i]->len, &new, &changed, &error));
        CHECK(changed);
        st_bytes again = {0};
        CHECK_OK(st_reencrypt(cipher, (const char *)new.data, new.len, &again, &changed, &error));
        CHECK(!changed && again.len == new.len && memcmp(again.data, new.data, new.len) == 0);
        CHECK_OK(st_decrypt(cipher, (const char *)again.data, again.len, &plain, &error));
        CHECK_TEXT(plain, "value");
        st_bytes_free(&plain);
        st_bytes_free(&again);
        st_bytes_free(&new);
    }
    CHECK_OK(st_reencrypt(cipher, (const char *)token.data, token.len, &new, NULL, &error));
    st_bytes_free(&new);
    st_bytes_free(&token);
    st_bytes_free(&ancient);
    st_cipher_free(cipher);
    CHECK_FAILS(st_rotate_key(oldest, &error), ST_READ_ONLY, "re-encrypt");
    st_cipher_free(oldest);
}

static void process_wide(void) {
    st_bytes token = {0}, plain = {0};
    /* The first use creates a key. */
    CHECK_OK(st_encrypt(NULL, "value", 5, &token, &error));
    CHECK(access(path_of(".simpletuner/credential.key"), R_OK) == 0);
    CHECK_OK(st_cipher_reset(NULL, &error));
    CHECK_OK(st_decrypt(NULL, (const char *)token.data, token.len, &plain, &error));
    CHECK_TEXT(plain, "value");
    st_bytes_free(&plain);

    st_config *config = st_config_new();
    CHECK_OK(st_config_set(config, "key", ST_NUL, "another", ST_NUL, &error));
    CHECK_OK(st_cipher_reset(config, &error));
    CHECK_FAILS(st_decrypt(NULL, (const char *)token.data, token.len, &plain, &error), ST_BAD_TOKEN, "another key");
    st_config_free(config);
    CHECK_OK(st_cipher_reset(NULL, &error));

    write_file(".simpletuner/credential.key", " \n");
    CHECK_OK(st_cipher_reset(NULL, &error));
    CHECK_FAILS(st_decrypt(NULL, (const char *)token.data, token.len, &plain, &error), ST_BAD_KEY, "is empty");
    CHECK(error.source == ST_SOURCE_ENCRYPTION);
    CHECK(file_is(".simpletuner/credential.key", " \n"));
    setenv("SIMPLETUNER_CREDENTIAL_KEY", "CANARY in a variable", 1);
    CHECK_FAILS(st_decrypt(NULL, (const char *)token.data, token.len, &plain, &error), ST_BAD_TOKEN, "another key");
    CHECK_FAILS(st_rotate_key(NULL, &error), ST_READ_ONLY, "SIMPLETUNER_CREDENTIAL_KEY");
    unsetenv("SIMPLETUNER_CREDENTIAL_KEY");
    CHECK(st_cipher_reset(NULL, NULL) == ST_OK);
    st_bytes_free(&token);
}

static const st_cipher *shared;

static void *work(void *context) {
    st_error local = ST_ERROR_INIT;
    char token[512], plain[64];
    size_t len, plain_len;
    (void)context;
    for (int i = 0; i < 200; i++) {
        CHECK(st_encrypt_into(shared, "value", 5, token, sizeof token, &len, &local) == ST_OK);
        CHECK(st_decrypt_into(shared, token, len, plain, sizeof plain, &plain_len, &local) == ST_OK);
        CHECK(plain_len == 5 && memcmp(plain, "value", 5) == 0);
    }
    return NULL;
}

static void threads_and_children(void) {
    st_cipher *cipher = open_cipher("{\"key\": \"secret\"}");
    pthread_t threads[4];
    shared = cipher;
    /* Derives the key here: a thread that waits for it has its own memory, which a child would count as lost. */
    work(NULL);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    }
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(300);
            work(NULL);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    st_cipher_free(cipher);
}

int main(void) {
    begin();
    unsetenv("SIMPLETUNER_CREDENTIAL_KEY");
    unsetenv("SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS");
    encrypt_and_decrypt();
    known_token();
    into_buffers();
    bad_tokens_have_the_same_error();
    rotation();
    process_wide();
    threads_and_children();
    return 0;
}
