/* Functions whose results are cached. */
#ifndef ST_SECRETS_CACHED_HPP
#define ST_SECRETS_CACHED_HPP

#include "cache.hpp"
#include "function_key.hpp"

namespace st {

struct CachedOptions {
    /// The function's name in the cache key.
    std::string name{};
    /// The first part of the cache key.
    std::string key_prefix{};
    Seconds ttl{60.0};
    std::size_t max_size = 1000;
    /// How long a call waits for the same call in another thread.
    Seconds timeout = forever;
};

/// A function whose results are stored in a cache of its own. It may be called from any number of threads at once: for
/// each list of arguments one thread calls the function, and the others wait for its result.
template <class F>
class Cached {
public:
    Cached(F function, CachedOptions options)
        : function_(std::move(function)),
          options_(std::move(options)),
          cache_(Cache::open({options_.ttl, options_.max_size, Seconds(60.0)})) {}

    /// Returns the result for these arguments, from the cache or by calling the function. `function_key` must support
    /// their types.
    template <class... Args>
    auto operator()(const Args &...args) const {
        static_assert(std::is_invocable_v<const F &, const Args &...>,
                      "a cached function is called as const, with const arguments of the types that are given");
        if constexpr (std::is_invocable_v<const F &, const Args &...>) {
            using T = std::decay_t<std::invoke_result_t<const F &, const Args &...>>;
            static_assert(!std::is_void_v<T>, "a function without a result has nothing to cache");
            static_assert(std::is_void_v<T> || std::is_copy_constructible_v<T>,
                          "each caller gets a copy of the result: return a std::shared_ptr of what cannot be copied");
            std::shared_ptr<const T> result = cache_.get_or_load_object(
                key(args...), [&] { return function_(args...); }, default_ttl, options_.timeout);
            return T(*result);
        }
    }

    /// Returns the cache key of these arguments, such as `mymodule:get_user:123`.
    template <class... Args>
    [[nodiscard]] std::string key(const Args &...args) const {
        return function_key(options_.key_prefix, options_.name, args...);
    }
    /// The cache of the results; `get_user.cache().clear()` removes them.
    [[nodiscard]] const Cache &cache() const noexcept { return cache_; }

private:
    F function_;
    CachedOptions options_;
    Cache cache_;
};

/// Returns a cached version of a function: `auto get_user = st::cached(load_user, {"get_user", "mymodule", 120s});`.
template <class F>
Cached<std::decay_t<F>> cached(F &&function, CachedOptions options) {
    return Cached<std::decay_t<F>>(std::forward<F>(function), std::move(options));
}

} // namespace st

#endif
