/* The calls that need more than the header: a hit of a cache in one step, and functions of the program. */
#ifndef ST_GO_NATIVE_H
#define ST_GO_NATIVE_H

#include <st_secrets.h>

/*
 * `result` is the number of bytes that were copied, or that would have to be; or a status. Go takes such a result back faster
 * than one that is returned. The address of the cache is a number because Go would look at what is behind a pointer to a struct
 * that it does not know.
 */
static inline void st_go_cache_get_into(uintptr_t cache, const char *key, size_t key_len, char *buffer, size_t capacity,
                                        int64_t *result) {
    size_t len = 0;
    st_status status = st_cache_get_into((const st_cache *)cache, key, key_len, buffer, capacity, &len, NULL);
    *result = status == ST_OK || status == ST_BUFFER_TOO_SMALL ? (int64_t)len : status;
}

/* As the functions of the library, with a cgo.Handle of a function of Go, which is released by the library. */
st_status st_go_secrets_add_provider(const st_secrets *secrets, const char *name, size_t name_len, size_t position,
                                     uintptr_t function, st_error *error);
st_status st_go_log_set(int32_t max_level, uintptr_t logger, st_error *error);
/* With a cgo.Handle of the caller's, or 0. */
st_status st_go_credentials_reencrypt(const st_store *store, const st_cipher *cipher, uint32_t flags,
                                      uintptr_t progress, st_bytes *report, st_error *error);

/* Numbers of values that a cache has let go of, to be taken by Go: no function of Go is called by a cache. */
typedef struct st_go_entry {
    struct st_go_entry *next;
    struct st_go_dropped *dropped;
    uint64_t number;
} st_go_entry;

typedef struct st_go_dropped {
    st_go_entry *first;
} st_go_dropped;

st_go_dropped *st_go_dropped_new(void);
/* Frees the list with all that is on it. NULL is fine. */
void st_go_dropped_free(st_go_dropped *dropped);
void st_go_entries_free(st_go_entry *first);

/* The number of the value under this key, 0 if there is none. */
uint64_t st_go_cache_number(uintptr_t cache, const char *key, size_t key_len);
/* Ends a lease with a value that has this number. */
st_status st_go_cache_finish_number(const st_cache *cache, uint64_t lease, uint64_t number, st_go_dropped *dropped,
                                    double ttl, st_error *error);

#endif
