/* Caches of bytes and of objects of any type, whose entries expire. */
#ifndef ST_SECRETS_CACHE_HPP
#define ST_SECRETS_CACHE_HPP

#include "config.hpp"
#include "lease.hpp"
#include "loader.hpp"

namespace st {

/// The size of a cache and its counters since it was created.
using CacheCounts = st_cache_counts;

/// The settings of `Cache::open`.
struct CacheOptions {
    Seconds default_ttl{300.0};
    std::size_t max_size = 1000;
    Seconds cleanup_interval{60.0};
};

/// A cache of at most `max_size` entries that evicts the least recently used one. Keys are arbitrary bytes.
class Cache {
public:
    /// A closed handle; see `open`.
    Cache() noexcept = default;

    static Cache open(const CacheOptions &options = CacheOptions()) { return try_open(options).value(); }
    static Result<Cache> try_open(const CacheOptions &options = CacheOptions()) noexcept {
        st_cache *raw = nullptr;
        Failure failure;
        if (::st_cache_new(options.default_ttl.count(), options.max_size, options.cleanup_interval.count(), &raw,
                           failure.raw()) != ST_OK) {
            return failure;
        }
        return Cache(raw);
    }
    /// Opens a cache with settings, including those that `CacheOptions` lacks:
    /// `st::Config().max_size(100).soft_ttl(30s).absent_ttl(5s)`.
    static Cache open_with(const Config &config) { return try_open_with(config).value(); }
    static Result<Cache> try_open_with(const Config &config) noexcept {
        if (config.error().status() != Status::ok) {
            return config.error();
        }
        st_cache *raw = nullptr;
        Failure failure;
        if (::st_cache_open(config.raw(), &raw, failure.raw()) != ST_OK) {
            return failure;
        }
        return Cache(raw, true);
    }
    /// The built-in caches of the process: 300 s and 100 entries, with keys such as `provider:replicate:config`; 60 s
    /// and 500 entries, with keys such as `user:123:permissions`. `close()` does not close them. The result is not open
    /// if there is no memory for the cache.
    static Cache provider_config() noexcept { return Cache(::st_cache_provider_config()); }
    static Cache user_permission() noexcept { return Cache(::st_cache_user_permission()); }

    Cache(Cache &&other) noexcept : raw_(std::exchange(other.raw_, nullptr)), may_refresh_(other.may_refresh_) {}
    Cache &operator=(Cache &&other) noexcept {
        if (this != &other) {
            close();
            raw_ = std::exchange(other.raw_, nullptr);
            may_refresh_ = other.may_refresh_;
        }
        return *this;
    }
    Cache(const Cache &) = delete;
    Cache &operator=(const Cache &) = delete;
    ~Cache() { close(); }
    /// Removes all entries and frees the cache. May be called again.
    void close() noexcept {
        if (raw_ != nullptr) {
            ::st_cache_free(const_cast<st_cache *>(std::exchange(raw_, nullptr)));
        }
    }
    [[nodiscard]] bool is_open() const noexcept { return raw_ != nullptr; }

    /// Stores a copy of `value`.
    void set(std::string_view key, std::string_view value, Seconds ttl = default_ttl) const {
        try_set(key, value, ttl).value();
    }
    Result<void> try_set(std::string_view key, std::string_view value, Seconds ttl = default_ttl) const noexcept {
        return detail::result_of<void>([&](st_error *error) {
            ::st_cache_set(raw_, key.data(), key.size(), value.data(), value.size(), ttl.count(), error);
        });
    }
    /// Returns the bytes stored under a key, or nothing.
    std::optional<Bytes> get(std::string_view key) const {
        // Constructed where it is returned: moving it would stall on the store that has just written it.
        std::optional<Bytes> value(std::in_place);
        Failure failure;
        st_status status = ::st_cache_get(raw_, key.data(), key.size(), value->raw(), failure.raw());
        if (status != ST_OK) {
            value.reset();
            if (status != ST_NOT_FOUND) {
                detail::raise(failure);
            }
        }
        return value;
    }
    Result<Bytes> try_get(std::string_view key) const noexcept {
        return detail::result_of<Bytes>(
            [&](Bytes &value, st_error *error) { ::st_cache_get(raw_, key.data(), key.size(), value.raw(), error); });
    }
    /// Copies the value to `buffer` and returns its length, or nothing if there is no entry. If the buffer is too
    /// small, the call fails with `Status::buffer_too_small` and `Result::output` is the length needed; `(nullptr,
    /// 0)` queries it.
    std::optional<std::size_t> get_into(std::string_view key, char *buffer, std::size_t capacity) const {
        Result<std::size_t> len = try_get_into(key, buffer, capacity);
        if (len.status() == Status::not_found) {
            return std::nullopt;
        }
        return len.value();
    }
    Result<std::size_t> try_get_into(std::string_view key, char *buffer, std::size_t capacity) const noexcept {
        return detail::result_of<std::size_t>([&](std::size_t &len, st_error *error) {
            ::st_cache_get_into(raw_, key.data(), key.size(), buffer, capacity, &len, error);
        });
    }

    /// Stores a value of any type. All callers that get it share it.
    template <class T>
    void set_object(std::string_view key, T &&value, Seconds ttl = default_ttl) const {
        try_set_object(key, std::forward<T>(value), ttl).value();
    }
    template <class T>
    Result<void> try_set_object(std::string_view key, T &&value, Seconds ttl = default_ttl) const {
        auto box = detail::boxed(std::make_shared<const std::decay_t<T>>(std::forward<T>(value)));
        return detail::result_of<void>([&](st_error *error) {
            ::st_cache_set_object(raw_, key.data(), key.size(), box.release(), detail::drop_box, ttl.count(), error);
        });
    }
    /// Returns the value of type T stored under a key, or nullptr. Fails with `Status::wrong_type` if it has another
    /// type.
    template <class T>
    std::shared_ptr<const T> get_object(std::string_view key) const {
        auto value = try_get_object<T>(key);
        return value.status() == Status::not_found ? nullptr : std::move(value).value();
    }
    template <class T>
    Result<std::shared_ptr<const T>> try_get_object(std::string_view key) const noexcept {
        return detail::get_object<T>(raw_, key);
    }

    /// Returns the bytes stored under a key, or stores and returns the result of `load(key)` or `load(key, st::Reply
    /// &)`, which answer like a provider of `Secrets`. Only one caller loads; the others wait for the result, each up
    /// to its own timeout. An exception of `load` is thrown to its own caller, unless a stale value may still be
    /// served; the other callers get the failure. Failures are not stored.
    template <class F>
    Bytes get_or_load(std::string_view key, F &&load, Seconds timeout = forever) const {
        detail::Loader<F> loader(load);
        auto value = detail::load_bytes(raw_, key, loader, timeout);
        if (!value) {
            loader.rethrow();
        }
        return std::move(value).value();
    }
    template <class F>
    Result<Bytes> try_get_or_load(std::string_view key, F &&load, Seconds timeout = forever) const {
        detail::Loader<F> loader(load);
        return detail::load_bytes(raw_, key, loader, timeout);
    }
    /// As `get_or_load`, for a value of any type, which `load()` returns.
    template <class F>
    detail::Loaded<F> get_or_load_object(std::string_view key, F &&load, Seconds ttl = default_ttl,
                                         Seconds timeout = forever) const {
        detail::ObjectLoader<F> loader(load, ttl);
        auto value = detail::load_object(raw_, key, loader, timeout, may_refresh_);
        if (!value) {
            loader.rethrow();
        }
        return std::move(value).value();
    }
    template <class F>
    Result<detail::Loaded<F>> try_get_or_load_object(std::string_view key, F &&load, Seconds ttl = default_ttl,
                                                     Seconds timeout = forever) const {
        detail::ObjectLoader<F> loader(load, ttl);
        return detail::load_object(raw_, key, loader, timeout, may_refresh_);
    }

    /// `get_or_load` in two steps, for callers that cannot load within the call: returns the value or a lease to load
    /// it. While another caller has the lease, this call waits up to `timeout`; with zero it never blocks.
    Load begin_load(std::string_view key, Seconds timeout = Seconds::zero(), Seconds lease_ttl = forever) const {
        return try_begin_load(key, timeout, lease_ttl).value();
    }
    Result<Load> try_begin_load(std::string_view key, Seconds timeout = Seconds::zero(),
                                Seconds lease_ttl = forever) const noexcept {
        return detail::result_of<Load>([&](Load &load, st_error *error) {
            std::int32_t outcome = ST_LOAD_BUSY;
            std::uint64_t number = 0;
            ::st_cache_load_begin(raw_, key.data(), key.size(), timeout.count(), lease_ttl.count(), &outcome,
                                  load.value.raw(), &number, error);
            load.outcome = static_cast<Load::Outcome>(outcome);
            if (outcome == ST_LOAD_LEADER) {
                load.lease = Lease(raw_, number);
            }
        });
    }

    /// Removes an entry and returns whether it existed.
    bool remove(std::string_view key) const { return try_remove(key).value(); }
    Result<bool> try_remove(std::string_view key) const noexcept {
        return detail::result_of<bool>(
            [&](bool &existed, st_error *error) { ::st_cache_delete(raw_, key.data(), key.size(), &existed, error); });
    }
    /// Removes all entries and returns their number.
    std::size_t clear() const { return try_clear().value(); }
    Result<std::size_t> try_clear() const noexcept {
        return detail::result_of<std::size_t>(
            [&](std::size_t &count, st_error *error) { ::st_cache_clear(raw_, &count, error); });
    }
    /// Removes the entries whose keys begin with `prefix` and returns their number.
    std::size_t invalidate_prefix(std::string_view prefix) const { return try_invalidate_prefix(prefix).value(); }
    Result<std::size_t> try_invalidate_prefix(std::string_view prefix) const noexcept {
        return detail::result_of<std::size_t>([&](std::size_t &count, st_error *error) {
            ::st_cache_invalidate_prefix(raw_, prefix.data(), prefix.size(), &count, error);
        });
    }
    /// Returns a consistent snapshot of the counters.
    CacheCounts stats() const { return try_stats().value(); }
    Result<CacheCounts> try_stats() const noexcept {
        return detail::result_of<CacheCounts>([&](CacheCounts &counts, st_error *error) {
            counts.size = sizeof counts;
            ::st_cache_stats(raw_, &counts, error);
        });
    }

    /// The handle for calls of the C functions; NULL if it is closed.
    [[nodiscard]] const st_cache *raw() const noexcept { return raw_; }

private:
    explicit Cache(const st_cache *raw, bool may_refresh = false) noexcept : raw_(raw), may_refresh_(may_refresh) {}
    const st_cache *raw_ = nullptr;
    /// Whether the cache may have a `soft_ttl`.
    bool may_refresh_ = false;
};

/// Removes the entries of a provider from the built-in cache and returns their number.
inline Result<std::size_t> try_invalidate_provider(std::string_view provider) noexcept {
    return detail::result_of<std::size_t>([&](std::size_t &count, st_error *error) {
        ::st_cache_invalidate_provider(detail::data(provider), provider.size(), &count, error);
    });
}
inline std::size_t invalidate_provider(std::string_view provider) { return try_invalidate_provider(provider).value(); }

/// Removes the entries of a user from the built-in cache and returns their number.
inline Result<std::size_t> try_invalidate_user(std::int64_t user_id) noexcept {
    return detail::result_of<std::size_t>(
        [&](std::size_t &count, st_error *error) { ::st_cache_invalidate_user(user_id, &count, error); });
}
inline std::size_t invalidate_user(std::int64_t user_id) { return try_invalidate_user(user_id).value(); }

} // namespace st

#endif
