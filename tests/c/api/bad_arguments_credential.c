/* Bad arguments of the credential functions: each is rejected with its status and a message that names it. */
#include "check.h"

static const size_t absurd[] = {SIZE_MAX - 1, SIZE_MAX / 2 + 1};
#define EACH_ABSURD(len) for (size_t i = 0, len = absurd[0]; i < 2; i++, len = absurd[1])
#define BAD(call, word) CHECK_FAILS(call, ST_INVALID_ARGUMENT, word)

static st_error error = ST_ERROR_INIT;
static st_cipher *cipher;

static void opening(void) {
    st_cipher *made = (st_cipher *)&error;
    st_config *config = st_config_new();
    BAD(st_cipher_open(config, NULL, &error), "`out`");
    CHECK_OK(st_config_set(config, "key", ST_NUL, "CANARY", ST_NUL, &error));
    CHECK_OK(st_cipher_open(config, &cipher, &error));
    CHECK_OK(st_config_set(config, "key_file", ST_NUL, "/nowhere", ST_NUL, &error));
    CHECK_FAILS(st_cipher_open(config, &made, &error), ST_CONFIG, "`key_file`");
    CHECK(made == NULL);
    CHECK_FAILS(st_cipher_reset(config, &error), ST_CONFIG, "`key_file`");
    CHECK_FAILS(st_config_set(config, "key", ST_NUL, "CANARY\nCANARY", ST_NUL, &error), ST_CONFIG, "`key`");
    CHECK_FAILS(st_config_set(config, "generate", ST_NUL, "perhaps", ST_NUL, &error), ST_CONFIG, "`generate`");
    CHECK_FAILS(st_config_set(config, "previous_keys", ST_NUL, "CANARY", ST_NUL, &error), ST_CONFIG, "`previous_keys`");
    CHECK_FAILS(st_config_set(config, "previous_key", ST_NUL, "x", ST_NUL, &error), ST_CONFIG, "`previous_keys`");
    st_config_free(config);
}

static void encrypting(void) {
    st_bytes token;
    char buffer[4];
    size_t len = 9;
    memset(&token, 0x5A, sizeof token);
    BAD(st_encrypt(cipher, NULL, 1, &token, &error), "`plaintext`");
    CHECK_EMPTY(token);
    BAD(st_encrypt(cipher, NULL, ST_NUL, &token, &error), "`plaintext`");
    BAD(st_encrypt(cipher, "p", 1, NULL, &error), "`token`");
    BAD(st_encrypt_into(cipher, NULL, 1, buffer, 4, &len, &error), "`plaintext`");
    CHECK(len == 0);
    BAD(st_encrypt_into(cipher, "p", 1, buffer, 4, NULL, &error), "`len`");
    BAD(st_encrypt_into(cipher, "p", 1, NULL, 4, &len, &error), "`buffer`");
    EACH_ABSURD(absurd_len) {
        BAD(st_encrypt(cipher, "p", absurd_len, &token, &error), "`plaintext`");
        BAD(st_encrypt_into(cipher, "p", absurd_len, buffer, 4, &len, &error), "`plaintext`");
        BAD(st_encrypt_into(cipher, "p", 1, buffer, absurd_len, &len, &error), "`capacity`");
    }
    size_t large = ((size_t)16 << 20) + 1;
    char *many = calloc(large, 1);
    CHECK(many != NULL);
    BAD(st_encrypt(cipher, many, large, &token, &error), "`plaintext`");
    BAD(st_encrypt_into(cipher, many, large, NULL, 0, &len, &error), "`plaintext`");
    free(many);
}

static void decrypting(void) {
    st_bytes plain, token = {0};
    char buffer[4];
    size_t len = 9;
    bool changed = true;
    memset(&plain, 0x5A, sizeof plain);
    CHECK_OK(st_encrypt(cipher, "p", 1, &token, &error));
    const char *good = (const char *)token.data;
    BAD(st_decrypt(cipher, NULL, 1, &plain, &error), "`token`");
    CHECK_EMPTY(plain);
    BAD(st_decrypt(cipher, NULL, 0, &plain, &error), "`token`");
    BAD(st_decrypt(cipher, good, ST_NUL, NULL, &error), "`plaintext`");
    BAD(st_decrypt_into(cipher, NULL, 1, buffer, 4, &len, &error), "`token`");
    CHECK(len == 0);
    BAD(st_decrypt_into(cipher, good, ST_NUL, buffer, 4, NULL, &error), "`len`");
    BAD(st_decrypt_into(cipher, good, ST_NUL, NULL, 4, &len, &error), "`buffer`");
    BAD(st_reencrypt(cipher, NULL, 1, &plain, &changed, &error), "`token`");
    CHECK(!changed);
    BAD(st_reencrypt(cipher, good, ST_NUL, NULL, &changed, &error), "`out`");
    EACH_ABSURD(absurd_len) {
        BAD(st_decrypt(cipher, good, absurd_len, &plain, &error), "`token`");
        BAD(st_decrypt_into(cipher, good, absurd_len, buffer, 4, &len, &error), "`token`");
        BAD(st_decrypt_into(cipher, good, ST_NUL, buffer, absurd_len, &len, &error), "`capacity`");
        BAD(st_reencrypt(cipher, good, absurd_len, &plain, &changed, &error), "`token`");
    }
    st_bytes_free(&token);
}

int main(void) {
    begin();
    opening();
    encrypting();
    decrypting();
    st_cipher_free(cipher);
    return 0;
}
