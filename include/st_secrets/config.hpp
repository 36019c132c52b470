/* Settings. */
#ifndef ST_SECRETS_CONFIG_HPP
#define ST_SECRETS_CONFIG_HPP

#include "bytes.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>

namespace st {

/// Settings for `Secrets`, `Cipher` and `Store`: `st::Config().file_path("~/s.json").timeout(5s)`. The README lists what
/// they mean. A setting that is refused is the failure of the `open` that the configuration goes to; the first one counts.
class Config {
public:
    using Texts = std::initializer_list<std::string_view>;

    Config() : raw_(::st_config_new()) {}
    Config(Config &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), failure_(other.failure_) {
        other.failure_ = Failure(Status::invalid_argument, "the configuration was moved from");
    }
    Config &operator=(Config &&other) noexcept {
        std::swap(raw_, other.raw_);
        std::swap(failure_, other.failure_);
        return *this;
    }
    Config(const Config &) = delete;
    Config &operator=(const Config &) = delete;
    ~Config() { ::st_config_free(raw_); }

    /// Sets a key from text: `true`, `2.5`, `/path/to/file`, `["env","file"]`.
    Config &set(std::string_view key, std::string_view value) noexcept {
        if (failure_.status() == Status::ok) {
            ::st_config_set(raw_, detail::data(key), key.size(), detail::data(value), value.size(), failure_.raw());
        }
        return *this;
    }
    /// Adds the settings of a JSON object.
    Config &parse(std::string_view json) noexcept {
        if (failure_.status() == Status::ok) {
            ::st_config_parse(raw_, detail::data(json), json.size(), failure_.raw());
        }
        return *this;
    }
    /// Sets a key that takes a list.
    Config &set_list(std::string_view key, Texts values) { return set_list<Texts>(key, values); }
    template <class Range>
    Config &set_list(std::string_view key, const Range &values) {
        std::size_t most = 2;
        for (std::string_view value : values) {
            most += 6 * value.size() + 3;
        }
        // It may be a list of keys: one buffer, which is wiped.
        std::string json;
        json.reserve(most);
        json += '[';
        for (std::string_view value : values) {
            json += json.size() > 1 ? "," : "";
            append_json(json, value);
        }
        json += ']';
        set(key, json);
        for (volatile char &byte : json) {
            byte = 0;
        }
        return *this;
    }

    /// The layers, in the order in which they are asked.
    Config &providers(Texts layers) { return set_list("providers", layers); }
    Config &env_prefix(std::string_view prefix) noexcept { return set("env_prefix", prefix); }
    Config &file_path(std::string_view path) noexcept { return set("file_path", path); }
    Config &strict_permissions(bool strict) noexcept { return set("strict_permissions", strict ? "true" : "false"); }
    Config &timeout(Seconds time) noexcept { return set_time("timeout", time); }
    Config &cache_ttl(Seconds time) noexcept { return set_time("cache_ttl", time); }
    Config &miss_ttl(Seconds time) noexcept { return set_time("miss_ttl", time); }
    Config &max_stale(Seconds time) noexcept { return set_time("max_stale", time); }
    Config &max_backoff(Seconds time) noexcept { return set_time("max_backoff", time); }
    Config &max_attempts(unsigned attempts) { return set("max_attempts", std::to_string(attempts)); }

    /// The name or ARN of a secret in AWS Secrets Manager.
    Config &aws_secret_name(std::string_view value) noexcept { return set("aws_secret_name", value); }
    Config &aws_secret_names(Texts names) { return set_list("aws_secret_name", names); }
    Config &aws_region(std::string_view value) noexcept { return set("aws_region", value); }
    Config &aws_profile(std::string_view value) noexcept { return set("aws_profile", value); }
    Config &aws_endpoint_url(std::string_view value) noexcept { return set("aws_endpoint_url", value); }
    Config &aws_version_id(std::string_view value) noexcept { return set("aws_version_id", value); }
    Config &aws_version_stage(std::string_view value) noexcept { return set("aws_version_stage", value); }

    Config &vault_url(std::string_view value) noexcept { return set("vault_url", value); }
    Config &vault_mount(std::string_view value) noexcept { return set("vault_mount", value); }
    Config &vault_path(std::string_view value) noexcept { return set("vault_path", value); }
    /// "1", "2" or "auto".
    Config &vault_kv_version(std::string_view value) noexcept { return set("vault_kv_version", value); }
    Config &vault_namespace(std::string_view value) noexcept { return set("vault_namespace", value); }
    Config &vault_ca_cert(std::string_view path) noexcept { return set("vault_ca_cert", path); }
    Config &vault_token(std::string_view value) noexcept { return set("vault_token", value); }
    Config &vault_token_file(std::string_view path) noexcept { return set("vault_token_file", path); }
    /// "token", "approle", "kubernetes", "jwt" or "agent".
    Config &vault_auth(std::string_view value) noexcept { return set("vault_auth", value); }
    Config &vault_auth_mount(std::string_view value) noexcept { return set("vault_auth_mount", value); }
    Config &vault_role_id(std::string_view value) noexcept { return set("vault_role_id", value); }
    Config &vault_secret_id(std::string_view value) noexcept { return set("vault_secret_id", value); }
    Config &vault_secret_id_file(std::string_view path) noexcept { return set("vault_secret_id_file", path); }
    Config &vault_secret_id_wrapped(bool wrapped) noexcept { return set("vault_secret_id_wrapped", wrapped ? "true" : "false"); }
    Config &vault_role(std::string_view value) noexcept { return set("vault_role", value); }
    Config &vault_jwt_file(std::string_view path) noexcept { return set("vault_jwt_file", path); }

    /// For a cipher: the secret that the key is derived from.
    Config &key(std::string_view secret) noexcept { return set("key", secret); }
    Config &key_file(std::string_view path) noexcept { return set("key_file", path); }
    Config &previous_keys(Texts secrets) { return set_list("previous_keys", secrets); }
    Config &generate(bool make_a_key) noexcept { return set("generate", make_a_key ? "true" : "false"); }

    /// For a store: where the databases are.
    Config &state_dir(std::string_view path) noexcept { return set("state_dir", path); }
    Config &database(std::string_view path) noexcept { return set("database", path); }
    Config &audit_database(std::string_view path) noexcept { return set("audit_database", path); }

    /// What was refused, with `Status::ok` where nothing was.
    [[nodiscard]] const Failure &error() const noexcept { return failure_; }
    /// For calls of the C functions.
    [[nodiscard]] const st_config *raw() const noexcept { return raw_; }

private:
    /// Not with "%f" for fractions: its point is a comma in some locales.
    Config &set_time(std::string_view key, Seconds time) noexcept {
        constexpr double whole = 1e9, most = 1e18;
        double seconds = time.count(), magnitude = std::fabs(seconds);
        char text[64];
        if (magnitude < whole) {
            long long nanos = std::llround(magnitude * 1e9);
            std::snprintf(text, sizeof text, "%s%lld.%09lld", seconds < 0 ? "-" : "", nanos / 1000000000, nanos % 1000000000);
        } else {
            bool huge = std::isfinite(seconds) && magnitude > most;
            std::snprintf(text, sizeof text, "%.0f", huge ? std::copysign(most, seconds) : seconds);
        }
        return set(key, text);
    }

    static void append_json(std::string &json, std::string_view text) {
        json += '"';
        for (char c : text) {
            if (c == '"' || c == '\\') {
                json += '\\';
                json += c;
            } else if (static_cast<unsigned char>(c) < 0x20) {
                const char *digits = "0123456789abcdef";
                json += "\\u00";
                json += digits[c >> 4];
                json += digits[c & 15];
            } else {
                json += c;
            }
        }
        json += '"';
    }

    st_config *raw_;
    Failure failure_;
};

} // namespace st

#endif
