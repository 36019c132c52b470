/* The smallest program with a secret: opens a manager for a file and gets one key. usage: first_secret FILE KEY */
#include <stdio.h>

#include "st_secrets.h"

int main(int argc, char **argv) {
    st_error error = ST_ERROR_INIT;
    st_secrets *secrets = NULL;
    st_bytes value = {0};
    st_config *config = st_config_new();
    if (argc != 3 || st_config_set(config, "file_path", ST_NUL, argv[1], ST_NUL, &error) != ST_OK ||
        st_secrets_open(config, &secrets, &error) != ST_OK ||
        st_secrets_get(secrets, argv[2], ST_NUL, &value, &error) != ST_OK) {
        fprintf(stderr, "first_secret: %s\n", error.message);
        return 1;
    }
    printf("%zu\n", value.len);
    st_bytes_free(&value);
    st_secrets_free(secrets);
    st_config_free(config);
    return 0;
}
