/*
 * Holds some secrets of AWS, Vault or programs, has freed others, and then waits: a core file of it must contain
 * neither them nor the login credentials in clear. Its environment, and files named there, configure it.
 *
 * usage: remote_holder SETTINGS [leak]
 * Prints "ready" when it is; SETTINGS are JSON; "leak" copies a secret to ordinary memory, which is freed.
 */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc >= 2);
    static st_bytes kept[8];
    static char *leaked;
    static const char *const keys[] = {"AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED"};
    st_error error = ST_ERROR_INIT;
    st_bytes report = {0};
    st_secrets *secrets;
    st_config *config = st_config_new();
    CHECK_OK(st_config_parse(config, argv[1], ST_NUL, &error));
    CHECK_OK(st_secrets_open(config, &secrets, &error));
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(st_secrets_get(secrets, keys[i], ST_NUL, &kept[i], &error));
        CHECK(kept[i].len >= 16);
    }
    if (argc > 2) {
        leaked = malloc(kept[0].len);
        memcpy(leaked, kept[0].data, kept[0].len);
    }
    st_bytes_free(&kept[1]);
    st_bytes_free(&kept[3]);
    CHECK_OK(st_secrets_refresh(secrets, ST_TIMEOUT_DEFAULT, &error));
    CHECK_OK(st_secrets_check(secrets, &report, &error));
    st_bytes_free(&report);
    CHECK_FAILS(st_secrets_get(secrets, "NOWHERE", ST_NUL, &kept[4], &error), ST_NOT_FOUND, "tried");

    /* Another manager, of which only one value is left. */
    st_secrets *other;
    CHECK_OK(st_secrets_open(config, &other, &error));
    CHECK_OK(st_secrets_get(other, "VAULT_KEPT", ST_NUL, &kept[5], &error));
    st_secrets_free(other);
    st_config_free(config);

    puts("ready");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
