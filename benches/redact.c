/*
 * Prints the nanoseconds of processor time that the redaction of a text takes, the minimum of some rounds. The text is
 * redacted in pieces of 64 KiB. Each line of VALUES is a value.
 *   redact TEXT VALUES
 */
#include <stdint.h>
#include <string.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 7, PIECE = 64 * 1024 };

static char *contents(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*len + 1);
    if (text == NULL || fread(text, 1, *len, file) != *len) {
        perror(path);
        exit(1);
    }
    text[*len] = 0;
    fclose(file);
    return text;
}

static double processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int count, char **arguments) {
    if (count != 3) {
        fputs("usage: redact TEXT VALUES\n", stderr);
        return 2;
    }
    size_t len, values_len;
    char *text = contents(arguments[1], &len), *values = contents(arguments[2], &values_len);
    st_error error = ST_ERROR_INIT;
    st_redactor *redactor = NULL;
    st_redact_stream *stream = NULL;
    if (st_redactor_open(NULL, &redactor, &error) != ST_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    for (char *value = strtok(values, "\n"); value != NULL; value = strtok(NULL, "\n")) {
        st_redactor_add(redactor, NULL, 0, value, ST_NUL, NULL, &error);
    }
    double rounds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        st_redact_stream_open(redactor, &stream, &error);
        double begin = processor_time();
        size_t written = 0;
        for (size_t at = 0; at < len; at += PIECE) {
            st_bytes out = {0};
            size_t size = len - at < PIECE ? len - at : PIECE;
            if (st_redact_stream_write(stream, text + at, size, &out, NULL, &error) != ST_OK) {
                fprintf(stderr, "%s\n", error.message);
                return 1;
            }
            written += out.len;
            st_bytes_free(&out);
        }
        rounds[round] = processor_time() - begin;
        st_redact_stream_free(stream);
        if (written > len || written + PIECE < len) {
            fputs("the text has a value\n", stderr);
            return 1;
        }
    }
    sort(rounds, ROUNDS);
    printf("%.0f\n", rounds[0]);
    free(text);
    free(values);
    st_redactor_free(redactor);
    return 0;
}
