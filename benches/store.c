/*
 * Times of the store's calls: the minimum of several rounds each, one "name nanoseconds" per line.
 * usage: store DIRECTORY
 */
#include <string.h>

#include "measure.h"
#include "st_secrets.h"

enum { ROUNDS = 25 };

static st_error error = ST_ERROR_INIT;
static st_store *store;
static st_cipher *cipher;
static st_secrets *secrets;

static const char CONFIG[] =
    "{\"webhook_url\": \"https://example.com/hook\", \"webhook_secret\": \"0123456789abcdef\", "
    "\"webhook_require_signature\": true, \"webhook_allowed_ips\": [\"10.0.0.0/8\"], \"cost_limit_enabled\": true, "
    "\"cost_limit_amount\": 25.5, \"cost_limit_period\": \"daily\", \"cost_limit_action\": \"warn\"}";
static const char KEY[] = "provider:replicate:config";

static void must(st_status status) {
    if (status != ST_OK) {
        fprintf(stderr, "store: %s\n", error.message);
        exit(1);
    }
}

static void cached_get(void) {
    st_bytes json;
    must(st_provider_config_get(store, "replicate", 9, &json, &error));
    st_bytes_free(&json);
}

static void process_get(void) {
    st_bytes json;
    must(st_provider_config_get(NULL, "replicate", 9, &json, &error));
    st_bytes_free(&json);
}

static void cache_hit(void) {
    st_bytes json;
    must(st_cache_get(st_cache_provider_config(), KEY, sizeof KEY - 1, &json, &error));
    st_bytes_free(&json);
}

static void uncached_get(void) {
    must(st_cache_invalidate_provider("replicate", 9, NULL, &error));
    process_get();
}

static void save(void) {
    must(st_provider_config_save(store, "replicate", 9, CONFIG, sizeof CONFIG - 1, &error));
}

static void resolve(void) {
    st_bytes value;
    int32_t source;
    must(st_credential_resolve(store, cipher, secrets, 1, "replicate", 9, "api_token", 9, "NOT_THERE", 9, &source,
                               &value, &error));
    st_bytes_free(&value);
}

static void audit(void) {
    must(st_audit_log(store, "config.changed", 14, "test", 4, "provider", 8, "replicate", 9, "{\"changed\": [\"a\"]}",
                      ST_NUL, NULL, &error));
}

static void measure(const char *name, void (*call)(void), int calls) {
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < calls; i++) {
            call();
        }
        double took = (now() - start) / calls;
        best = took < best ? took : best;
    }
    printf("%s %.1f\n", name, best);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: store DIRECTORY\n");
        return 2;
    }
    st_config *config = st_config_new();
    must(st_config_set(config, "state_dir", ST_NUL, argv[1], ST_NUL, &error));
    must(st_config_set(config, "key", ST_NUL, "a secret for measuring", ST_NUL, &error));
    must(st_store_open(config, &store, &error));
    must(st_cipher_open(config, &cipher, &error));
    must(st_secrets_open(config, &secrets, &error));
    save();
    must(st_credential_set(store, cipher, 1, "replicate", 9, "api_token", 9, "r8_0123456789abcdef0123456789abcdef", 35,
                           NULL, &error));
    measure("cached_get", cached_get, 100000);
    measure("save", save, 300);
    measure("resolve", resolve, 300);
    measure("audit", audit, 300);
    st_store_free(store);
    must(st_store_reset(config, &error));
    process_get();
    measure("cached_get_of_the_process", process_get, 100000);
    measure("cache_hit", cache_hit, 100000);
    measure("uncached_get", uncached_get, 3000);
    st_secrets_free(secrets);
    st_cipher_free(cipher);
    st_config_free(config);
    return 0;
}
