/* Loading a value of a cache in two steps. */
#ifndef ST_SECRETS_LEASE_HPP
#define ST_SECRETS_LEASE_HPP

#include "object.hpp"

namespace st {

/// The right and duty to load a value. `finish`, `finish_object` or `abandon` ends it, from any thread; the destructor
/// abandons it. It must end before the cache is closed.
class Lease {
public:
    /// An empty lease.
    Lease() noexcept = default;
    Lease(const st_cache *cache, std::uint64_t number) noexcept : cache_(cache), number_(number) {}
    Lease(Lease &&other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)), number_(std::exchange(other.number_, 0)) {}
    Lease &operator=(Lease &&other) noexcept {
        if (this != &other) {
            end();
            cache_ = std::exchange(other.cache_, nullptr);
            number_ = std::exchange(other.number_, 0);
        }
        return *this;
    }
    Lease(const Lease &) = delete;
    Lease &operator=(const Lease &) = delete;
    ~Lease() { end(); }

    /// Whether the lease has not ended yet.
    explicit operator bool() const noexcept { return cache_ != nullptr; }

    /// Stores a copy of `value` and returns it to all waiting callers.
    void finish(std::string_view value, Seconds ttl = default_ttl) { try_finish(value, ttl).value(); }
    Result<void> try_finish(std::string_view value, Seconds ttl = default_ttl) noexcept {
        return ending([&](st_error *error) {
            ::st_cache_load_finish(cache_, number_, value.data(), value.size(), ttl.count(), error);
        });
    }
    /// As `finish`, with a value of any type.
    template <class T>
    void finish_object(T &&value, Seconds ttl = default_ttl) {
        try_finish_object(std::forward<T>(value), ttl).value();
    }
    template <class T>
    Result<void> try_finish_object(T &&value, Seconds ttl = default_ttl) {
        auto box = detail::boxed(std::make_shared<const std::decay_t<T>>(std::forward<T>(value)));
        return ending([&](st_error *error) {
            ::st_cache_load_finish_object(cache_, number_, box.release(), detail::drop_box, ttl.count(), error);
        });
    }
    /// Ends the lease without a value; all waiting callers fail with this status. The message must not contain a
    /// secret.
    void abandon(Status why, std::string_view message = {}) { try_abandon(why, message).value(); }
    Result<void> try_abandon(Status why, std::string_view message = {}) noexcept {
        return ending([&](st_error *error) {
            ::st_cache_load_abandon(cache_, number_, static_cast<st_status>(why), message.data(), message.size(),
                                    error);
        });
    }

private:
    template <class Call>
    Result<void> ending(Call &&call) {
        if (cache_ == nullptr) {
            return Failure(Status::abandoned, "the lease has ended");
        }
        Result<void> result = detail::result_of<void>(call);
        if (result.status() != Status::invalid_argument) {
            cache_ = nullptr;
        }
        return result;
    }
    void end() noexcept {
        if (cache_ != nullptr) {
            ::st_cache_load_abandon(std::exchange(cache_, nullptr), number_, ST_ABANDONED, nullptr, 0, nullptr);
        }
    }

    const st_cache *cache_ = nullptr;
    std::uint64_t number_ = 0;
};

/// The result of `begin_load`.
struct Load {
    enum class Outcome : std::int32_t {
        none = 0,
        /// The value was found. For an object, `value` is empty.
        hit = ST_LOAD_HIT,
        /// The caller has the lease. `value` is the stale value that may still be served, if any.
        leader = ST_LOAD_LEADER,
        /// Another caller has the lease.
        busy = ST_LOAD_BUSY,
    };
    Outcome outcome = Outcome::none;
    Bytes value;
    Lease lease;
};

} // namespace st

#endif
