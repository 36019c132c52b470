/* Secrets: a chain of providers in which they are found. */
#ifndef ST_SECRETS_SECRETS_HPP
#define ST_SECRETS_SECRETS_HPP

#include "callback.hpp"
#include "handle.hpp"

#include <memory>
#include <vector>

namespace st {

/// How to look for a secret.
struct GetOptions {
    Seconds timeout = default_timeout;
    /// Look at each source now, whatever is remembered of it.
    bool refresh = false;
    /// Ask no provider that may take long.
    bool cached_only = false;
};

/// A secret, and where it came from.
struct Found {
    Bytes value;
    /// The name of the provider: "env", "file", "aws", "vault", or that of a provider of the program.
    std::string provider;
    /// The provider's own name of this version; empty if it has none.
    std::string version;
    Source source = Source::none;
    /// The provider does not answer now; this is what it answered before.
    bool stale = false;
    /// The value comes from memory.
    bool cached = false;
    /// A provider that goes before this one failed, so another value may be the one that counts.
    bool degraded = false;
    /// The time since the provider was asked, and until it is asked again; zero for providers that are asked on every get.
    Seconds age{};
    Seconds expires_in{};
};

class Secrets {
public:
    using Names = std::initializer_list<std::string_view>;
    /// A position behind all others.
    static constexpr std::size_t last = ST_LAST;

    /// A closed one; see `open` and `process`.
    Secrets() noexcept = default;

    /// A chain with these settings.
    static Secrets open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Secrets> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_secrets_open);
        return handle ? Result<Secrets>(Secrets(std::move(*handle))) : Result<Secrets>(handle.error());
    }
    /// The chain of the whole process, made from the environment on first use. Closing it leaves it alone.
    static Secrets process() noexcept { return Secrets(Handle(nullptr)); }
    /// Replaces the chain of the whole process by one with these settings.
    static void reset(const Config &config) { try_reset(config).value(); }
    static Result<void> try_reset(const Config &config) { return detail::reset(config, ::st_secrets_reset); }
    /// Replaces it by a new one on its next use.
    static void reset() { try_reset().value(); }
    static Result<void> try_reset() {
        return detail::result_of<void>([](st_error *error) { ::st_secrets_reset(nullptr, error); });
    }

    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// The value of a secret.
    Bytes get(std::string_view key) const { return handle_.must<Bytes>(Getting{key}); }
    Result<Bytes> try_get(std::string_view key) const noexcept { return handle_.call<Bytes>(Getting{key}); }
    /// The value of a secret, or nothing if no provider has it; other failures are thrown.
    std::optional<Bytes> find(std::string_view key) const {
        Result<Bytes> value = try_get(key);
        if (value.status() == Status::not_found) {
            return std::nullopt;
        }
        return std::move(value).value();
    }
    /// Copies the value to a buffer, without a NUL, and tells its length. After `Status::buffer_too_small` the value of the
    /// result is the length that is needed; `(nullptr, 0)` asks for it alone. The copy is the caller's to wipe.
    std::size_t get_into(std::string_view key, char *buffer, std::size_t capacity) const {
        return try_get_into(key, buffer, capacity).value();
    }
    Result<std::size_t> try_get_into(std::string_view key, char *buffer, std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_secrets *secrets, std::size_t &len, st_error *error) {
            ::st_secrets_get_into(secrets, detail::data(key), key.size(), buffer, capacity, &len, error);
        });
    }
    /// The value of a secret, looked for in this way, and where it came from.
    Found get_with(std::string_view key, const GetOptions &options) const { return try_get_with(key, options).value(); }
    Result<Found> try_get_with(std::string_view key, const GetOptions &options) const {
        return handle_.call<Found>([&](const st_secrets *secrets, Found &found, st_error *error) {
            st_secret_info info = ST_SECRET_INFO_INIT;
            std::uint32_t flags = (options.refresh ? static_cast<std::uint32_t>(ST_GET_REFRESH) : 0u) |
                                  (options.cached_only ? static_cast<std::uint32_t>(ST_GET_CACHED_ONLY) : 0u);
            if (::st_secrets_get_with(secrets, detail::data(key), key.size(), options.timeout.count(), flags,
                                      found.value.raw(), &info, error) == ST_OK) {
                fill(found, info);
            }
        });
    }
    /// Several values under one deadline, each with a status of its own and no message: ask for a key alone to learn why.
    std::vector<Result<Bytes>> get_many(Names keys) const { return try_get_many(keys).value(); }
    Result<std::vector<Result<Bytes>>> try_get_many(Names keys) const { return try_get_many<Names>(keys); }
    template <class Range>
    std::vector<Result<Bytes>> get_many(const Range &keys) const {
        return try_get_many(keys).value();
    }
    template <class Range>
    Result<std::vector<Result<Bytes>>> try_get_many(const Range &keys) const {
        std::string names;
        std::size_t count = 0;
        for (const auto &key : keys) { // which the range may make anew
            names.append(std::string_view(key));
            names += '\0';
            count++;
        }
        return handle_.call<std::vector<Result<Bytes>>>([&](const st_secrets *secrets, auto &results, st_error *error) {
            get_all(secrets, names, count, results, error);
        });
    }

    /// The secrets that SimpleTuner itself uses.
    Bytes replicate_token() const { return try_replicate_token().value(); }
    Bytes hf_token() const { return try_hf_token().value(); }
    Bytes webhook_secret() const { return try_webhook_secret().value(); }
    Result<Bytes> try_replicate_token() const noexcept { return get_known(::st_secrets_get_replicate_token); }
    Result<Bytes> try_hf_token() const noexcept { return get_known(::st_secrets_get_hf_token); }
    Result<Bytes> try_webhook_secret() const noexcept { return get_known(::st_secrets_get_webhook_secret); }

    /// Writes a secret into the secrets file.
    void set(std::string_view key, std::string_view value) const { try_set(key, value).value(); }
    Result<void> try_set(std::string_view key, std::string_view value) const noexcept {
        return handle_.call<void>([&](const st_secrets *secrets, st_error *error) {
            ::st_secrets_set(secrets, detail::data(key), key.size(), detail::data(value), value.size(), error);
        });
    }
    void set_replicate_token(std::string_view value) const { try_set_replicate_token(value).value(); }
    Result<void> try_set_replicate_token(std::string_view value) const noexcept {
        return handle_.call<void>([&](const st_secrets *secrets, st_error *error) {
            ::st_secrets_set_replicate_token(secrets, detail::data(value), value.size(), error);
        });
    }
    /// Removes a secret from the secrets file, and tells whether it was there.
    bool remove(std::string_view key) const { return try_remove(key).value(); }
    Result<bool> try_remove(std::string_view key) const noexcept {
        return handle_.call<bool>([&](const st_secrets *secrets, bool &existed, st_error *error) {
            ::st_secrets_delete(secrets, detail::data(key), key.size(), &existed, error);
        });
    }

    /// Adds a provider of the program's own: `get(key)` returns text, st::Bytes, or std::optional or st::Result of these;
    /// `get(key, st::Reply &)` answers through the reply. Its answers are remembered. It may be called from several
    /// threads at once, and lives until the chain is freed.
    template <class F>
    void add_provider(std::string_view name, F &&get, std::size_t position = last) const {
        try_add_provider(name, std::forward<F>(get), position).value();
    }
    template <class F>
    Result<void> try_add_provider(std::string_view name, F &&get, std::size_t position = last) const {
        using Provider = std::decay_t<F>;
        return handle_.call<void>([&](const st_secrets *secrets, st_error *error) {
            auto provider = std::make_unique<Provider>(std::forward<F>(get));
            ::st_secrets_add_provider(secrets, detail::data(name), name.size(), position, detail::provider<Provider>,
                                      detail::drop<Provider>, provider.release(), error);
        });
    }

    /// Looks at every source now.
    void refresh(Seconds timeout = default_timeout) const { try_refresh(timeout).value(); }
    Result<void> try_refresh(Seconds timeout = default_timeout) const noexcept {
        return handle_.call<void>(
            [&](const st_secrets *secrets, st_error *error) { ::st_secrets_refresh(secrets, timeout.count(), error); });
    }
    /// Forgets, and so wipes, every value that is remembered and that nobody holds.
    void clear_cache() const { try_clear_cache().value(); }
    Result<void> try_clear_cache() const noexcept { return handle_.call<void>(::st_secrets_clear_cache); }
    /// The settings and providers in their order, as JSON without any value.
    std::string describe() const { return try_describe().value(); }
    Result<std::string> try_describe() const { return handle_.text(::st_secrets_describe); }
    /// How every provider is, as JSON without any value.
    std::string check() const { return try_check().value(); }
    Result<std::string> try_check() const { return handle_.text(::st_secrets_check); }
    /// The path of the file or directory that the file provider reads, or of the file that `set` creates.
    std::string file_path() const { return try_file_path().value(); }
    Result<std::string> try_file_path() const { return handle_.text(::st_secrets_file_path); }

    /// For calls of the C functions; NULL is the chain of the process, or a closed one.
    [[nodiscard]] const st_secrets *raw() const noexcept { return handle_.raw(); }

private:
    using Handle = detail::Handle<st_secrets, ::st_secrets_free>;
    explicit Secrets(Handle handle) noexcept : handle_(std::move(handle)) {}

    struct Getting {
        std::string_view key;
        void operator()(const st_secrets *secrets, Bytes &value, st_error *error) const noexcept {
            ::st_secrets_get(secrets, detail::data(key), key.size(), value.raw(), error);
        }
    };

    Result<Bytes> get_known(st_status (*known)(const st_secrets *, st_bytes *, st_error *)) const noexcept {
        return handle_.call<Bytes>(
            [&](const st_secrets *secrets, Bytes &value, st_error *error) { known(secrets, value.raw(), error); });
    }

    static void fill(Found &found, const st_secret_info &info) {
        found.provider = info.provider;
        found.version = info.version;
        found.source = static_cast<Source>(info.source);
        found.stale = (info.flags & ST_SECRET_STALE) != 0;
        found.cached = (info.flags & ST_SECRET_CACHED) != 0;
        found.degraded = (info.flags & ST_SECRET_DEGRADED) != 0;
        found.age = Seconds(info.age);
        found.expires_in = Seconds(info.expires_in);
    }

    static void get_all(const st_secrets *secrets, const std::string &names, std::size_t count,
                        std::vector<Result<Bytes>> &results, st_error *error) {
        std::vector<st_bytes> values(count);
        std::vector<st_status> statuses(count);
        results.resize(count);
        if (::st_secrets_get_many(secrets, names.data(), names.size(), count, values.data(), statuses.data(), error) !=
            ST_OK) {
            results.clear();
            return;
        }
        for (std::size_t i = 0; i < count; i++) {
            if (statuses[i] == ST_OK) {
                *detail::Access::value(results[i]).raw() = values[i];
            } else {
                results[i] = Failure(static_cast<Status>(statuses[i]), ::st_status_name(statuses[i]));
            }
        }
    }

    Handle handle_{};
};

} // namespace st

#endif
