/* Opens a manager with the settings of the command line, KEY VALUE…, and prints why it is refused. */
#include <stdio.h>

#include <st_secrets.h>

int main(int argc, char **argv) {
    st_error error = ST_ERROR_INIT;
    st_config *config = st_config_new();
    st_secrets *secrets = NULL;
    st_status status = ST_OK;
    for (int at = 1; at + 1 < argc && status == ST_OK; at += 2) {
        status = st_config_set(config, argv[at], ST_NUL, argv[at + 1], ST_NUL, &error);
    }
    if (status == ST_OK) {
        status = st_secrets_open(config, &secrets, &error);
    }
    puts(status == ST_OK ? "open" : error.message);
    st_secrets_free(secrets);
    st_config_free(config);
    return status != ST_CONFIG;
}
