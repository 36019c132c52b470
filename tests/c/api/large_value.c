/* A value of 1 GiB can be stored and read. */
#include "check.h"

int main(void) {
    const size_t size = (size_t)1 << 30;
    st_error error = ST_ERROR_INIT;
    st_cache *cache = NULL;
    st_bytes value = {0};
    size_t len = 0;
    char *large = malloc(size);
    CHECK(large != NULL);
    memset(large, 'x', size);
    large[size - 1] = 'y';
    CHECK_OK(st_cache_new(60.0, 2, 60.0, &cache, &error));
    CHECK_OK(st_cache_set(cache, "large", ST_NUL, large, size, ST_TTL_DEFAULT, &error));
    CHECK_OK(st_cache_get_into(cache, "large", ST_NUL, NULL, 0, &len, &error));
    CHECK(len == size);
    CHECK_OK(st_cache_get(cache, "large", ST_NUL, &value, &error));
    CHECK(value.len == size && memcmp(value.data, large, size) == 0 && value.data[size] == 0);
    CHECK_OK(st_cache_clear(cache, NULL, &error));
    CHECK(value.data[size - 1] == 'y');
    st_bytes_free(&value);
    st_cache_free(cache);
    free(large);
    return 0;
}
