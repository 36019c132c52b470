/* A program that uses the installed library. */
#include <st_secrets.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    st_error error = ST_ERROR_INIT;
    st_bytes token = {0};
    setenv("HF_TOKEN", "CANARY", 1);
    if (st_abi_version() != ST_ABI_VERSION || st_version_number() < ST_VERSION_NUMBER) {
        fprintf(stderr, "the header is of version %s, the library of version %s\n", ST_VERSION, st_version());
        return 1;
    }
    if (st_secrets_get_hf_token(NULL, &token, &error) != ST_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("%zu\n", token.len);
    st_bytes_free(&token);
    return 0;
}
