/*
 * Times of encrypting and decrypting credentials: medians over rounds, one "name nanoseconds" per line.
 * usage: credential
 */
#include <string.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 15, ROWS = 10000, ROW = 40 };

static void must(st_status status, const st_error *error) {
    if (status != ST_OK) {
        fprintf(stderr, "credential: %s\n", error->message);
        exit(1);
    }
}

static st_cipher *open_cipher(void) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_cipher *cipher = NULL;
    must(st_config_set(config, "key", ST_NUL, "a secret for measuring", ST_NUL, &error), &error);
    must(st_cipher_open(config, &cipher, &error), &error);
    st_config_free(config);
    return cipher;
}

static double median(double *rounds) {
    sort(rounds, ROUNDS);
    return rounds[ROUNDS / 2];
}

static void sizes(const st_cipher *cipher, size_t size, int calls) {
    st_error error = ST_ERROR_INIT;
    char plain[4096], token[8192], back[4096];
    double encrypt[ROUNDS], decrypt[ROUNDS], decrypt_bytes[ROUNDS];
    size_t len = 0, back_len;
    memset(plain, 'x', sizeof plain);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < calls; i++) {
            must(st_encrypt_into(cipher, plain, size, token, sizeof token, &len, &error), &error);
        }
        encrypt[round] = (now() - start) / calls;
        start = now();
        for (int i = 0; i < calls; i++) {
            must(st_decrypt_into(cipher, token, len, back, sizeof back, &back_len, &error), &error);
        }
        decrypt[round] = (now() - start) / calls;
        start = now();
        for (int i = 0; i < calls; i++) {
            st_bytes bytes;
            must(st_decrypt(cipher, token, len, &bytes, &error), &error);
            st_bytes_free(&bytes);
        }
        decrypt_bytes[round] = (now() - start) / calls;
    }
    printf("encrypt_%zu %.1f\n", size, median(encrypt));
    printf("decrypt_%zu %.1f\n", size, median(decrypt));
    printf("decrypt_bytes_%zu %.1f\n", size, median(decrypt_bytes));
}

/* Different rows one after another, as a service reads them from its database. */
static void rows(const st_cipher *cipher) {
    st_error error = ST_ERROR_INIT;
    static char tokens[ROWS][256];
    static size_t lens[ROWS];
    double rounds[ROUNDS];
    char plain[ROW + 1], back[256];
    size_t back_len;
    for (int row = 0; row < ROWS; row++) {
        snprintf(plain, sizeof plain, "%040d", row);
        must(st_encrypt_into(cipher, plain, ROW, tokens[row], sizeof tokens[row], &lens[row], &error), &error);
    }
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int row = 0; row < ROWS; row++) {
            must(st_decrypt_into(cipher, tokens[row], lens[row], back, sizeof back, &back_len, &error), &error);
        }
        rounds[round] = now() - start;
    }
    printf("rows %.1f\n", median(rounds));
}

static void derivation(void) {
    st_error error = ST_ERROR_INIT;
    double rounds[ROUNDS];
    char token[256];
    size_t len;
    for (int round = 0; round < ROUNDS; round++) {
        st_cipher *cipher = open_cipher();
        double start = now();
        must(st_encrypt_into(cipher, "x", 1, token, sizeof token, &len, &error), &error);
        rounds[round] = now() - start;
        st_cipher_free(cipher);
    }
    printf("derive %.1f\n", median(rounds));
}

int main(void) {
    st_cipher *cipher = open_cipher();
    sizes(cipher, 40, 2000);
    sizes(cipher, 4096, 500);
    rows(cipher);
    derivation();
    st_cipher_free(cipher);
    return 0;
}
