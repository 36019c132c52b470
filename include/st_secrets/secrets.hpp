/* Secrets, looked up in a chain of providers. */
#ifndef ST_SECRETS_SECRETS_HPP
#define ST_SECRETS_SECRETS_HPP

#include "callback.hpp"
#include "handle.hpp"

#include <memory>
#include <vector>

namespace st {

/// Options of a lookup.
struct GetOptions {
    Seconds timeout = default_timeout;
    /// Bypass all caches and query every provider.
    bool refresh = false;
    /// Only use cached and local values; do not wait for a remote provider.
    bool cached_only = false;
};

/// A secret and its origin.
struct Secret {
    Bytes value;
    /// The provider's name: "env", "file", "aws", "vault", "huggingface", "exec", or that of a custom
    /// provider.
    std::string provider;
    /// The provider's identifier of this version; empty if it has none.
    std::string version;
    Source source = Source::none;
    /// The provider is failing; this is its last known value.
    bool stale = false;
    /// The value comes from a cache.
    bool cached = false;
    /// An earlier provider failed; it might have returned another value.
    bool degraded = false;
    /// Another process on this host loaded the value; see the setting `share`.
    bool shared = false;
    /// The value has a lease, and is revoked at its end, which is that of `expires_in`.
    bool leased = false;
    /// The time since the value was fetched, and until it is fetched again; zero for providers that are not cached.
    Seconds age{};
    Seconds expires_in{};
};

/// A chain of providers. All const members may be called from any number of threads.
class Secrets {
public:
    using Names = std::initializer_list<std::string_view>;
    /// The position after all other providers, except a last provider "huggingface".
    static constexpr std::size_t last = ST_LAST;

    /// A closed handle; see `open` and `process`.
    Secrets() noexcept = default;

    /// Opens a chain with these settings.
    static Secrets open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Secrets> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_secrets_open);
        return handle ? Result<Secrets>(Secrets(std::move(*handle))) : Result<Secrets>(handle.error());
    }
    /// The chain shared by the whole process, configured from the environment on first use. `close()` does not close
    /// it.
    static Secrets process() noexcept { return Secrets(Handle(nullptr)); }
    /// Replaces the process-wide chain by one with these settings.
    static void reset(const Config &config) { try_reset(config).value(); }
    static Result<void> try_reset(const Config &config) { return detail::reset(config, ::st_secrets_reset); }
    /// Closes the process-wide chain; its next use opens a new one.
    static void reset() { try_reset().value(); }
    static Result<void> try_reset() {
        return detail::result_of<void>([](st_error *error) { ::st_secrets_reset(nullptr, error); });
    }

    /// Frees the chain and wipes its caches. Values that were returned stay valid. May be called again.
    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// Returns the value of a secret.
    Bytes get(std::string_view key) const { return handle_.must<Bytes>(Getting{key}); }
    Result<Bytes> try_get(std::string_view key) const noexcept { return handle_.call<Bytes>(Getting{key}); }
    /// Returns the value of a secret, or nothing if no provider has it. Other failures are thrown.
    std::optional<Bytes> find(std::string_view key) const {
        Result<Bytes> value = try_get(key);
        if (value.status() == Status::not_found) {
            return std::nullopt;
        }
        return std::move(value).value();
    }
    /// Copies the value to `buffer`, without a NUL, and returns its length. If the buffer is too small, the call fails
    /// with `Status::buffer_too_small` and `Result::output` is the length needed; `(nullptr, 0)` queries it. The
    /// caller wipes the copy.
    std::size_t get_into(std::string_view key, char *buffer, std::size_t capacity) const {
        return try_get_into(key, buffer, capacity).value();
    }
    Result<std::size_t> try_get_into(std::string_view key, char *buffer, std::size_t capacity) const noexcept {
        return handle_.call<std::size_t>([&](const st_secrets *secrets, std::size_t &len, st_error *error) {
            ::st_secrets_get_into(secrets, detail::data(key), key.size(), buffer, capacity, &len, error);
        });
    }
    /// Returns a secret, looked up with these options, and its origin.
    Secret get_with(std::string_view key, const GetOptions &options) const {
        return try_get_with(key, options).value();
    }
    Result<Secret> try_get_with(std::string_view key, const GetOptions &options) const {
        return handle_.call<Secret>([&](const st_secrets *secrets, Secret &found, st_error *error) {
            st_secret_info info = ST_SECRET_INFO_INIT;
            std::uint32_t flags = (options.refresh ? static_cast<std::uint32_t>(ST_GET_REFRESH) : 0u) |
                                  (options.cached_only ? static_cast<std::uint32_t>(ST_GET_CACHED_ONLY) : 0u);
            if (::st_secrets_get_with(secrets, detail::data(key), key.size(), options.timeout.count(), flags,
                                      found.value.raw(), &info, error) == ST_OK) {
                fill(found, info);
            }
        });
    }
    /// Returns several values within one timeout. A failure has a status but no message: `get` the key alone for the
    /// reason.
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
        for (const auto &key : keys) { // the range may create it on the fly
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

    /// Writes a secret to the secrets file, or to the provider of the setting `set_provider`.
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
    /// Removes it from there and returns whether it existed.
    bool remove(std::string_view key) const { return try_remove(key).value(); }
    Result<bool> try_remove(std::string_view key) const noexcept {
        return handle_.call<bool>([&](const st_secrets *secrets, bool &existed, st_error *error) {
            ::st_secrets_delete(secrets, detail::data(key), key.size(), &existed, error);
        });
    }

    /// Adds a custom provider: `get(key)` returns text, st::Bytes, or std::optional or st::Result of these; `get(key,
    /// st::Reply &)` answers through the reply. Its results are cached. It may be called from several threads at once
    /// and is destroyed with the chain.
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

    /// Reads every provider again.
    void refresh(Seconds timeout = default_timeout) const { try_refresh(timeout).value(); }
    Result<void> try_refresh(Seconds timeout = default_timeout) const noexcept {
        return handle_.call<void>(
            [&](const st_secrets *secrets, st_error *error) { ::st_secrets_refresh(secrets, timeout.count(), error); });
    }
    /// Loads the AWS and Vault documents now, unless they are cached. With the setting `share`, the other processes on
    /// this host then use them too.
    void prefetch(Seconds timeout = default_timeout) const { try_prefetch(timeout).value(); }
    Result<void> try_prefetch(Seconds timeout = default_timeout) const noexcept {
        return handle_.call<void>([&](const st_secrets *secrets, st_error *error) {
            ::st_secrets_prefetch(secrets, timeout.count(), error);
        });
    }
    /// Removes all cached values. A value is wiped when its last reference is released.
    void clear_cache() const { try_clear_cache().value(); }
    Result<void> try_clear_cache() const noexcept { return handle_.call<void>(::st_secrets_clear_cache); }
    /// Returns a number that increases when anything changes; see `listen`.
    std::uint64_t generation() const { return try_generation().value(); }
    Result<std::uint64_t> try_generation() const noexcept {
        return handle_.call<std::uint64_t>([&](const st_secrets *secrets, std::uint64_t &generation, st_error *error) {
            ::st_secrets_generation(secrets, &generation, error);
        });
    }
    /// Calls `changed(key, generation)` when the value of `key` changed: within a get that found the change, or within
    /// `listen`. For the empty key it is called when anything changed. It must not throw, and is destroyed with the
    /// chain or by `unwatch`. Returns the number for `unwatch`.
    template <class F>
    std::uint64_t watch(std::string_view key, F &&changed) const {
        return try_watch(key, std::forward<F>(changed)).value();
    }
    template <class F>
    Result<std::uint64_t> try_watch(std::string_view key, F &&changed) const {
        using Watch = std::decay_t<F>;
        return handle_.call<std::uint64_t>([&](const st_secrets *secrets, std::uint64_t &id, st_error *error) {
            auto watch = std::make_unique<Watch>(std::forward<F>(changed));
            ::st_secrets_watch(secrets, key.empty() ? nullptr : key.data(), key.size(), detail::changed<Watch>,
                               detail::drop<Watch>, watch.release(), &id, error);
        });
    }
    /// Ends a watch. A call that another thread has begun may still be under way.
    void unwatch(std::uint64_t id) const { try_unwatch(id).value(); }
    Result<void> try_unwatch(std::uint64_t id) const noexcept {
        return handle_.call<void>(
            [&](const st_secrets *secrets, st_error *error) { ::st_secrets_unwatch(secrets, id, error); });
    }
    /// Waits until the generation differs from `since`, or for `timeout`, and returns it. Looks for changes meanwhile,
    /// in this thread.
    std::uint64_t listen(std::uint64_t since, Seconds timeout) const { return try_listen(since, timeout).value(); }
    Result<std::uint64_t> try_listen(std::uint64_t since, Seconds timeout) const noexcept {
        return handle_.call<std::uint64_t>([&](const st_secrets *secrets, std::uint64_t &generation, st_error *error) {
            ::st_secrets_listen(secrets, since, timeout.count(), &generation, error);
        });
    }
    /// Drops the cached values of all processes on this host, or with ST_SCOPE_CLUSTER on all hosts that share a tier,
    /// and returns as JSON which have confirmed it and which are silent, within `timeout`. A host confirms by a get or
    /// `listen`; one that has made no such call for 15 s is not waited for.
    std::string invalidate(std::string_view key, Seconds timeout, std::uint32_t scope = ST_SCOPE_HOST) const {
        return try_invalidate(key, timeout, scope).value();
    }
    Result<std::string> try_invalidate(std::string_view key, Seconds timeout,
                                       std::uint32_t scope = ST_SCOPE_HOST) const {
        return handle_.text([&](const st_secrets *secrets, st_bytes *report, st_error *error) {
            ::st_secrets_invalidate(secrets, key.empty() ? nullptr : key.data(), key.size(), scope, timeout.count(),
                                    report, error);
        });
    }
    /// Returns the settings and the providers in order, as JSON without any secret.
    std::string describe() const { return try_describe().value(); }
    Result<std::string> try_describe() const { return handle_.text(::st_secrets_describe); }
    /// Returns counters since the manager was opened, as JSON: see st_secrets_stats.
    std::string stats() const { return try_stats().value(); }
    Result<std::string> try_stats() const { return handle_.text(::st_secrets_stats); }
    /// Returns the health of every provider, as JSON without any secret.
    std::string check() const { return try_check().value(); }
    Result<std::string> try_check() const { return handle_.text(::st_secrets_check); }
    /// Returns what is shared with other processes on this host, as JSON without any secret.
    std::string share() const { return try_share().value(); }
    Result<std::string> try_share() const { return handle_.text(::st_secrets_share); }
    /// Returns the path of the file or directory that the file provider reads, or of the file that `set` creates.
    std::string file_path() const { return try_file_path().value(); }
    Result<std::string> try_file_path() const { return handle_.text(::st_secrets_file_path); }

    /// The handle for calls of the C functions; NULL for the chain of the process and for a closed one.
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

    static void fill(Secret &found, const st_secret_info &info) {
        found.provider = info.provider;
        found.version = info.version;
        found.source = static_cast<Source>(info.source);
        found.stale = (info.flags & ST_SECRET_STALE) != 0;
        found.cached = (info.flags & ST_SECRET_CACHED) != 0;
        found.degraded = (info.flags & ST_SECRET_DEGRADED) != 0;
        found.shared = (info.flags & ST_SECRET_SHARED) != 0;
        found.leased = (info.flags & ST_SECRET_LEASED) != 0;
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
