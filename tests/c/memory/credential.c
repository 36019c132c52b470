/*
 * After a cipher and its decrypted values are freed, no secret, key or plain text is anywhere in the memory of the
 * process; before that, each is in one place only. The patterns are encoded here: each byte XOR 0x5A, in hexadecimal.
 */
#include <fcntl.h>

#include "check.h"

static const char *const patterns[] = {
    /* The secret, the plain text, and the two halves of the key derived from the secret. */
    "2e323f7a293f39283f2e7a353c7a2e3233297a2e3f292e7a6b68696e6f6c6d62636a",
    "2a363b33347a2e3f222e7a353c7a3f223b392e36237a2935373f7a3c35282e237a38232e3f297474",
    "30d91a97933b5b74c45c0f257eb332d8",
    "45430841d92eb0d43ce3bd9ef5c46214",
};
enum { PATTERNS = 4, PIECE = 1 << 20, LONGEST = 64 };

static st_error error = ST_ERROR_INIT;
static unsigned char hidden[PATTERNS][LONGEST];
static size_t lengths[PATTERNS];
static unsigned char piece[PIECE];

static void read_patterns(void) {
    for (int i = 0; i < PATTERNS; i++) {
        for (const char *at = patterns[i]; *at != 0; at += 2) {
            unsigned byte;
            CHECK(sscanf(at, "%2x", &byte) == 1);
            hidden[i][lengths[i]++] = (unsigned char)byte;
        }
    }
}

/* Writes a pattern in clear. */
static void reveal(char *text, int pattern) {
    for (size_t i = 0; i < lengths[pattern]; i++) {
        text[i] = (char)(hidden[pattern][i] ^ 0x5A);
    }
    text[lengths[pattern]] = 0;
}

static int count_in(size_t len, int pattern) {
    int count = 0;
    for (size_t at = 0; at + lengths[pattern] <= len; at++) {
        size_t same = 0;
        while (same < lengths[pattern] && (piece[at + same] ^ 0x5A) == hidden[pattern][same]) {
            same++;
        }
        count += same == lengths[pattern];
    }
    return count;
}

/* Returns how often a pattern is in memory, not counting the buffer of this search. */
static int count(int pattern) {
    char line[512];
    int found = 0, memory = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL && memory >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end, own = (unsigned long)piece;
        char rights[8];
        CHECK(sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3);
        if (rights[1] != 'w') {
            continue;
        }
        while (start < end) {
            /* Skips the buffer, which would find itself. */
            if (start >= own && start < own + PIECE) {
                start = own + PIECE;
                continue;
            }
            size_t len = end - start < PIECE ? end - start : PIECE;
            if (start < own && start + len > own) {
                len = own - start;
            }
            ssize_t got = pread(memory, piece, len, (off_t)start);
            if (got <= 0) {
                break;
            }
            found += count_in((size_t)got, pattern);
            start += len == PIECE ? PIECE - LONGEST : (size_t)got;
        }
    }
    memset(piece, 0, sizeof piece);
    fclose(maps);
    close(memory);
    return found;
}

static void wipe(char *text, size_t len) {
    memset(text, 0, len);
    __asm__ volatile("" : : "r"(text) : "memory");
}

int main(void) {
    char text[LONGEST + 1];
    st_cipher *cipher = NULL;
    st_bytes token = {0}, plain = {0};
    begin();
    read_patterns();
    st_config *config = st_config_new();
    reveal(text, 0);
    CHECK_OK(st_config_set(config, "key", ST_NUL, text, ST_NUL, &error));
    CHECK_OK(st_cipher_open(config, &cipher, &error));
    st_config_free(config);
    reveal(text, 1);
    CHECK_OK(st_encrypt(cipher, text, ST_NUL, &token, &error));
    wipe(text, sizeof text);
    for (int i = 0; i < 3; i++) {
        st_bytes_free(&plain);
        CHECK_OK(st_decrypt(cipher, (const char *)token.data, token.len, &plain, &error));
    }
    /* Each is there once, so the search would find what is left. */
    for (int i = 0; i < PATTERNS; i++) {
        CHECK(count(i) == 1);
    }
    st_bytes_free(&plain);
    st_cipher_free(cipher);
    for (int i = 0; i < PATTERNS; i++) {
        CHECK(count(i) == 0);
    }
    st_bytes_free(&token);
    return 0;
}
