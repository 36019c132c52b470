/* The header included first and twice, and what it defines in use, as C and as C++. */
#include "st_secrets.h"
#include "st_secrets.h"

#ifdef __cplusplus
#define NONE \
    { \
    }
#else
#define NONE {0}
#endif

int use(void);

int use(void) {
    st_error error = ST_ERROR_INIT;
    st_secret_info info = ST_SECRET_INFO_INIT;
    st_bytes value = NONE;
    size_t place = ST_LAST;
    st_status status = st_secrets_get_with(NULL, ST_KEY_HF_TOKEN, ST_NUL, ST_TIMEOUT_DEFAULT,
                                           ST_GET_REFRESH | ST_GET_CACHED_ONLY, &value, &info, &error);
    st_bytes_free(&value);
    if (status == ST_OK && place == ST_NUL && (info.flags & (ST_SECRET_STALE | ST_SECRET_CACHED)) == 0) {
        status = st_reply_bytes(NULL, ST_KEY_REPLICATE_API_TOKEN, sizeof ST_KEY_CLOUD_WEBHOOK_SECRET, ST_TTL_DEFAULT);
    }
    switch (status) {
    case ST_OK:
    case ST_NOT_FOUND:
    case ST_PANIC:
        return ST_VERSION[0] + ST_VERSION_NUMBER + ST_ABI_VERSION + ST_SOURCE_CUSTOM + ST_LOG_TRACE;
    default:
        return (error.flags & ST_ERROR_RETRYABLE) != 0;
    }
}
