/* Calls that need more than the header: a cache hit in one step, and callbacks. */
#ifndef ST_GO_NATIVE_H
#define ST_GO_NATIVE_H

#include <st_secrets.h>

/* `result` is the number of bytes copied, or needed; or a status. Go reads such a result faster than a return value.
 * The address of the cache is a number, because Go checks what a pointer to an unknown struct refers to. */
static inline void st_go_cache_get_into(uintptr_t cache, const char *key, size_t key_len, char *buffer, size_t capacity,
                                        int64_t *result) {
    size_t len = 0;
    st_status status = st_cache_get_into((const st_cache *)cache, key, key_len, buffer, capacity, &len, NULL);
    *result = status == ST_OK || status == ST_BUFFER_TOO_SMALL ? (int64_t)len : status;
}

/* As the functions of the library, with a cgo.Handle of a Go function, which the library releases. */
st_status st_go_secrets_add_provider(const st_secrets *secrets, const char *name, size_t name_len, size_t position,
                                     uintptr_t function, st_error *error);
st_status st_go_log_set(int32_t max_level, uintptr_t logger, st_error *error);
/* With a cgo.Handle of the caller, or 0. */
st_status st_go_credentials_reencrypt(const st_store *store, const st_cipher *cipher, uint32_t flags,
                                      uintptr_t progress, st_bytes *report, st_error *error);

/* As st_cache_load_begin_notify, with a cgo.Handle of a waiter. */
st_status st_go_cache_load_begin(const st_cache *cache, const char *key, size_t key_len, uintptr_t waiting,
                                 int32_t *outcome, st_bytes *value, uint64_t *lease, uint64_t *waiter, st_error *error);

/* Numbers of values that a cache has dropped, for Go to collect: a cache never calls Go. */
typedef struct st_go_entry {
    struct st_go_entry *next;
    struct st_go_dropped *dropped;
    uint64_t number;
} st_go_entry;

typedef struct st_go_dropped {
    st_go_entry *first;
} st_go_dropped;

st_go_dropped *st_go_dropped_new(void);
/* Frees the list and its entries. NULL is allowed. */
void st_go_dropped_free(st_go_dropped *dropped);
void st_go_entries_free(st_go_entry *first);

/* Returns the number stored under a key, 0 if there is none. */
uint64_t st_go_cache_number(uintptr_t cache, const char *key, size_t key_len);
/* Ends a lease with a value of this number. */
st_status st_go_cache_finish_number(const st_cache *cache, uint64_t lease, uint64_t number, st_go_dropped *dropped,
                                    double ttl, st_error *error);

#endif
