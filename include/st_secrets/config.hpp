/* Settings. */
#ifndef ST_SECRETS_CONFIG_HPP
#define ST_SECRETS_CONFIG_HPP

#include "bytes.hpp"
#include "path.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>

namespace st {

/// Settings for `Secrets`, `Cipher`, `Store`, `Cache` and `Redactor`:
/// `st::Config().file_path("~/s.json").timeout(5s)`. The README documents them. The setters do not fail: the first
/// invalid setting is reported by the `open` that receives the configuration.
class Config {
public:
    using Texts = std::initializer_list<std::string_view>;

    Config() : raw_(::st_config_new()) {}
    Config(Config &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), failure_(other.failure_) {
        // NULL would be a configuration without settings.
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
    Config &set(std::string_view key, std::string_view value) & { return text(key, value), *this; }
    Config &&set(std::string_view key, std::string_view value) && { return text(key, value), std::move(*this); }
    /// Sets a key that takes a list, from a container of strings.
    template <class Range = Texts>
    Config &set_list(std::string_view key, const Range &values) & {
        return list(key, values), *this;
    }
    template <class Range = Texts>
    Config &&set_list(std::string_view key, const Range &values) && {
        return list(key, values), std::move(*this);
    }
    /// Sets the members of a JSON object.
    Config &parse(std::string_view json) & { return document(json), *this; }
    Config &&parse(std::string_view json) && { return document(json), std::move(*this); }

#define ST_SETTING(key, Type, kind) \
    Config &key(Type value) & { return kind(#key, value), *this; } \
    Config &&key(Type value) && { return kind(#key, value), std::move(*this); }
    // The order of the providers, and settings common to all of them. Providers with settings of their own, such as
    // `exec`, are given as JSON: `set("providers", R"(["env", {"exec": ["sops", "-d", "secrets.json"]}])")`.
    ST_SETTING(providers, Texts, list)
    ST_SETTING(env_prefix, std::string_view, text)
    ST_SETTING(file_path, PathText, text)
    ST_SETTING(strict_permissions, bool, flag)
    ST_SETTING(set_provider, std::string_view, text)
    ST_SETTING(timeout, Seconds, time)
    ST_SETTING(cache_ttl, Seconds, time)
    ST_SETTING(miss_ttl, Seconds, time)
    ST_SETTING(max_stale, Seconds, time)
    ST_SETTING(max_backoff, Seconds, time)
    ST_SETTING(max_attempts, unsigned, number)

    // AWS Secrets Manager. For several names or regions: `set_list("aws_secret_name", {…})`.
    ST_SETTING(aws_secret_name, std::string_view, text)
    ST_SETTING(aws_queue_url, std::string_view, text)
    ST_SETTING(aws_region, std::string_view, text)
    ST_SETTING(aws_profile, std::string_view, text)
    ST_SETTING(aws_role_arn, std::string_view, text)
    ST_SETTING(aws_external_id, std::string_view, text)
    ST_SETTING(aws_role_session_name, std::string_view, text)
    ST_SETTING(aws_endpoint_url, std::string_view, text)
    ST_SETTING(aws_version_id, std::string_view, text)
    ST_SETTING(aws_version_stage, std::string_view, text)
    ST_SETTING(aws_agent_url, std::string_view, text)
    ST_SETTING(aws_agent_token_file, PathText, text)
    // Parameters of AWS Systems Manager. For several paths: `set_list("aws_parameters_path", {…})`.
    ST_SETTING(aws_parameters_path, std::string_view, text)
    ST_SETTING(aws_parameters_endpoint_url, std::string_view, text)

    // Azure Key Vault. For several names: `set_list("azure_secret_name", {…})`.
    ST_SETTING(azure_vault_url, std::string_view, text)
    ST_SETTING(azure_secret_name, std::string_view, text)
    ST_SETTING(azure_auth, std::string_view, text)

    // Google Secret Manager. For several names: `set_list("google_secret_name", {…})`.
    ST_SETTING(google_secret_name, std::string_view, text)
    ST_SETTING(google_project, std::string_view, text)
    ST_SETTING(google_location, std::string_view, text)
    ST_SETTING(google_credentials_file, PathText, text)
    ST_SETTING(google_endpoint_url, std::string_view, text)
    // Secrets of Kubernetes. For several: `set_list("kubernetes_secret", {…})`.
    ST_SETTING(kubernetes_secret, std::string_view, text)
    ST_SETTING(kubernetes_selector, std::string_view, text)
    ST_SETTING(kubernetes_namespace, std::string_view, text)
    ST_SETTING(kubernetes_url, std::string_view, text)
    ST_SETTING(kubernetes_ca_cert, PathText, text)
    ST_SETTING(kubernetes_token_file, PathText, text)
    ST_SETTING(kubernetes_client_cert, PathText, text)
    ST_SETTING(kubernetes_client_key, PathText, text)

    // 1Password Connect. For several items: `set_list("onepassword_item", {…})`.
    ST_SETTING(onepassword_item, std::string_view, text)
    ST_SETTING(onepassword_vault, std::string_view, text)
    ST_SETTING(onepassword_url, std::string_view, text)
    ST_SETTING(onepassword_token, std::string_view, text)
    ST_SETTING(onepassword_token_file, std::string_view, text)

    // Infisical. For several paths: `set_list("infisical_path", {…})`.
    ST_SETTING(infisical_environment, std::string_view, text)
    ST_SETTING(infisical_project, std::string_view, text)
    ST_SETTING(infisical_path, std::string_view, text)
    ST_SETTING(infisical_url, std::string_view, text)
    ST_SETTING(infisical_auth, std::string_view, text)
    ST_SETTING(infisical_client_id, std::string_view, text)
    ST_SETTING(infisical_client_secret, std::string_view, text)
    ST_SETTING(infisical_client_secret_file, std::string_view, text)
    ST_SETTING(infisical_identity_id, std::string_view, text)
    ST_SETTING(infisical_jwt_file, std::string_view, text)
    ST_SETTING(infisical_token, std::string_view, text)
    ST_SETTING(infisical_token_file, std::string_view, text)

    // HashiCorp Vault and OpenBao. For several paths: `set_list("vault_path", {…})`.
    ST_SETTING(vault_url, std::string_view, text)
    ST_SETTING(vault_mount, std::string_view, text)
    ST_SETTING(vault_path, std::string_view, text)
    ST_SETTING(vault_kv_version, std::string_view, text)
    ST_SETTING(vault_metadata_interval, Seconds, time)
    ST_SETTING(vault_namespace, std::string_view, text)
    ST_SETTING(vault_ca_cert, PathText, text)
    ST_SETTING(vault_token, std::string_view, text)
    ST_SETTING(vault_token_file, PathText, text)
    ST_SETTING(vault_auth, std::string_view, text)
    ST_SETTING(vault_auth_mount, std::string_view, text)
    ST_SETTING(vault_aws_region, std::string_view, text)
    ST_SETTING(vault_aws_server_id, std::string_view, text)
    ST_SETTING(vault_role_id, std::string_view, text)
    ST_SETTING(vault_secret_id, std::string_view, text)
    ST_SETTING(vault_secret_id_file, PathText, text)
    ST_SETTING(vault_secret_id_wrapped, bool, flag)
    ST_SETTING(vault_role, std::string_view, text)
    ST_SETTING(vault_jwt_file, PathText, text)
    ST_SETTING(vault_username, std::string_view, text)
    ST_SETTING(vault_password, std::string_view, text)
    ST_SETTING(vault_password_file, PathText, text)
    ST_SETTING(vault_client_cert, PathText, text)
    ST_SETTING(vault_client_key, PathText, text)

    // What processes on this host share.
    ST_SETTING(share, std::string_view, text)
    ST_SETTING(share_dir, PathText, text)
    ST_SETTING(share_key, std::string_view, text)
    ST_SETTING(share_kms_key, std::string_view, text)
    ST_SETTING(share_transit, std::string_view, text)
    ST_SETTING(share_url, std::string_view, text)
    ST_SETTING(share_ca_cert, PathText, text)
    ST_SETTING(share_client_cert, PathText, text)
    ST_SETTING(share_client_key, PathText, text)

    // Settings of a cipher.
    ST_SETTING(key, std::string_view, text)
    ST_SETTING(key_file, PathText, text)
    ST_SETTING(previous_keys, Texts, list)
    ST_SETTING(generate, bool, flag)

    // Settings of a cache.
    ST_SETTING(default_ttl, Seconds, time)
    ST_SETTING(max_size, unsigned, number)
    ST_SETTING(cleanup_interval, Seconds, time)
    ST_SETTING(soft_ttl, Seconds, time)
    ST_SETTING(ttl_jitter, double, fraction)
    ST_SETTING(absent_ttl, Seconds, time)
    ST_SETTING(keyed_hash, bool, flag)
    ST_SETTING(tier, std::string_view, text)
    ST_SETTING(tier_name, std::string_view, text)
    ST_SETTING(tier_interval, Seconds, time)

    // Settings of a store.
    ST_SETTING(state_dir, PathText, text)
    ST_SETTING(database, PathText, text)
    ST_SETTING(audit_database, PathText, text)

    // Settings of a redactor.
    ST_SETTING(redact_min, unsigned, number)
    ST_SETTING(redact_with, std::string_view, text)
#undef ST_SETTING

    /// The first invalid setting; `Status::ok` if there is none.
    [[nodiscard]] const Failure &error() const noexcept { return failure_; }
    /// The handle for calls of the C functions.
    [[nodiscard]] const st_config *raw() const noexcept { return raw_; }

private:
    void text(std::string_view name, std::string_view value) noexcept {
        if (failure_.status() == Status::ok) {
            ::st_config_set(raw_, detail::data(name), name.size(), detail::data(value), value.size(), failure_.raw());
        }
    }
    void document(std::string_view json) noexcept {
        if (failure_.status() == Status::ok) {
            ::st_config_parse(raw_, detail::data(json), json.size(), failure_.raw());
        }
    }
    void flag(std::string_view name, bool value) noexcept { text(name, value ? "true" : "false"); }
    void number(std::string_view name, unsigned value) { text(name, std::to_string(value)); }
    void fraction(std::string_view name, double value) noexcept { time(name, Seconds(value)); }

    /// Does not use "%f" for fractions, because some locales print a comma.
    void time(std::string_view name, Seconds value) noexcept {
        constexpr double whole = 1e9, most = 1e18;
        double seconds = value.count(), magnitude = std::fabs(seconds);
        char digits[64];
        if (magnitude < whole) {
            long long nanos = std::llround(magnitude * 1e9);
            std::snprintf(digits, sizeof digits, "%s%lld.%09lld", seconds < 0 ? "-" : "", nanos / 1000000000,
                          nanos % 1000000000);
        } else {
            bool huge = std::isfinite(seconds) && magnitude > most;
            std::snprintf(digits, sizeof digits, "%.0f", huge ? std::copysign(most, seconds) : seconds);
        }
        text(name, digits);
    }

    /// The values may be keys, so they are joined in a single buffer, which is wiped.
    template <class Range>
    void list(std::string_view name, const Range &values) {
        // `const auto &`: the range may create each string on the fly.
        std::size_t most = 2;
        for (const auto &value : values) {
            most += 6 * std::string_view(value).size() + 3;
        }
        std::string json;
        json.reserve(most);
        json += '[';
        for (const auto &value : values) {
            json += json.size() > 1 ? "," : "";
            append_json(json, value);
        }
        json += ']';
        text(name, json);
        for (volatile char &byte : json) {
            byte = 0;
        }
    }

    static void append_json(std::string &json, std::string_view value) {
        json += '"';
        for (char c : value) {
            if (c == '"' || c == '\\') {
                json += '\\';
                json += c;
            } else if (static_cast<unsigned char>(c) < 0x20) {
                const char *hexadecimal = "0123456789abcdef";
                json += "\\u00";
                json += hexadecimal[c >> 4];
                json += hexadecimal[c & 15];
            } else {
                json += c;
            }
        }
        json += '"';
    }

    st_config *raw_;
    Failure failure_{};
};

} // namespace st

#endif
