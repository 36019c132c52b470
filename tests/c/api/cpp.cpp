// The header in C++: a secret from the environment, and a custom provider that is a lambda.
#include <memory>
#include <string>

#include "check.h"

struct Free {
    void operator()(st_secrets *secrets) const { st_secrets_free(secrets); }
    void operator()(st_config *config) const { st_config_free(config); }
};

static std::string get(const st_secrets *secrets, const std::string &key) {
    st_error error = ST_ERROR_INIT;
    st_bytes value = {};
    CHECK_OK(st_secrets_get(secrets, key.data(), key.size(), &value, &error));
    std::string text(reinterpret_cast<const char *>(value.data), value.len);
    st_bytes_free(&value);
    return text;
}

int main() {
    begin();
    st_error error = ST_ERROR_INIT;
    std::unique_ptr<st_config, Free> config(st_config_new());
    CHECK_OK(st_config_parse(config.get(), R"({"providers": ["env"]})", ST_NUL, &error));
    st_secrets *opened = nullptr;
    CHECK_OK(st_secrets_open(config.get(), &opened, &error));
    std::unique_ptr<st_secrets, Free> secrets(opened);

    setenv("HF_TOKEN", "CANARY-env", 1);
    CHECK(get(secrets.get(), "hf-token") == "CANARY-env");

    // Lambdas without captures are C functions, and the context is a pointer.
    auto *prefix = new std::string("CANARY-of-");
    CHECK_OK(st_secrets_add_provider(
        secrets.get(), "lambda", ST_NUL, ST_LAST,
        [](void *context, const char *key, size_t key_len, double, st_reply *reply) -> st_status {
            std::string value = *static_cast<std::string *>(context) + std::string(key, key_len);
            return st_reply_bytes(reply, value.data(), value.size(), ST_TTL_DEFAULT);
        },
        [](void *context) { delete static_cast<std::string *>(context); }, prefix, &error));
    CHECK(get(secrets.get(), "X") == "CANARY-of-X");

    st_secret_info info = ST_SECRET_INFO_INIT;
    st_bytes value = {};
    CHECK_OK(st_secrets_get_with(secrets.get(), "X", ST_NUL, 1.0, 0, &value, &info, &error));
    CHECK(std::string(info.provider) == "lambda");
    st_bytes_free(&value);
    CHECK_FAILS(st_secrets_get(secrets.get(), "", 0, &value, &error), ST_INVALID_ARGUMENT, "name of a secret");
    return 0;
}
