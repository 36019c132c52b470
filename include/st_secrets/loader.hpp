/* Loaders: functions that compute a value missing from a cache. */
#ifndef ST_SECRETS_LOADER_HPP
#define ST_SECRETS_LOADER_HPP

#include "callback.hpp"
#include "object.hpp"

namespace st::detail {

/// Carries the exception of a loader across the library to its caller.
class Thrown {
public:
    void rethrow() const {
#if ST_SECRETS_EXCEPTIONS
        if (exception_) {
            std::rethrow_exception(exception_);
        }
#endif
    }

protected:
    /// Runs `body`; returns whether it ended without an exception.
    template <class Body>
    bool catching(Body &&body) noexcept {
#if ST_SECRETS_EXCEPTIONS
        try {
            body();
        } catch (...) {
            exception_ = std::current_exception();
            return false;
        }
#else
        body();
#endif
        return true;
    }

    /// As above, for a loader: an exception becomes a failure.
    template <class Body>
    void run(Reply &reply, Body &&body) noexcept {
        if (!catching(body)) {
            answer_safely(reply, [this] { rethrow(); });
        }
    }

private:
#if ST_SECRETS_EXCEPTIONS
    std::exception_ptr exception_{};
#endif
};

/// A loader of bytes.
template <class F>
class Loader : public Thrown {
public:
    explicit Loader(F &load) noexcept : load_(load) {}

    static st_status call(void *context, const char *key, std::size_t len, double timeout, st_reply *raw) noexcept {
        auto *self = static_cast<Loader *>(context);
        Reply reply(raw, timeout);
        self->run(reply, [&] { ask(self->load_, {key, len}, reply); });
        return reply.status();
    }

private:
    F &load_;
};

template <class F>
Result<Bytes> load_bytes(const st_cache *cache, std::string_view key, Loader<F> &loader, Seconds timeout) {
    return result_of<Bytes>([&](Bytes &value, st_error *error) {
        ::st_cache_get_or_load(cache, key.data(), key.size(), timeout.count(), Loader<F>::call, &loader, value.raw(),
                               error);
    });
}

template <class F>
using Loaded = std::shared_ptr<const std::decay_t<std::invoke_result_t<F &>>>;

/// A loader of a value of any type. It keeps the value for its caller, because the cache may evict it at once.
template <class F>
class ObjectLoader : public Thrown {
public:
    ObjectLoader(F &load, Seconds ttl) noexcept : load_(load), ttl_(ttl) {}

    static st_status call(void *context, const char *, std::size_t, double timeout, st_reply *raw) noexcept {
        auto *self = static_cast<ObjectLoader *>(context);
        Reply reply(raw, timeout);
        self->run(reply, [&] {
            using T = std::decay_t<std::invoke_result_t<F &>>;
            self->value_ = std::make_shared<const T>(self->load_());
            reply.object(boxed(self->value_).release(), drop_box, self->ttl_);
        });
        return reply.status();
    }

    [[nodiscard]] const Loaded<F> &value() const noexcept { return value_; }

private:
    F &load_;
    Seconds ttl_;
    Loaded<F> value_{};
};

/// `may_refresh`: a value that the cache has may have to be reloaded, so a lookup is not enough.
template <class F>
Result<Loaded<F>> load_object(const st_cache *cache, std::string_view key, ObjectLoader<F> &loader, Seconds timeout,
                              bool may_refresh) {
    using T = std::decay_t<std::invoke_result_t<F &>>;
    if (!may_refresh) {
        auto found = get_object<T>(cache, key);
        if (found.status() != Status::not_found) {
            return found;
        }
    }
    using Clock = std::chrono::steady_clock;
    Clock::time_point begun = Clock::now();
    // One iteration, unless the value of another caller is evicted before this one gets it.
    for (;;) {
        Seconds left = timeout - Seconds(Clock::now() - begun);
        if (left.count() < 0.0 && timeout.count() >= 0.0) {
            left = Seconds::zero();
        }
        auto loaded = result_of<void>([&](st_error *error) {
            ::st_cache_get_or_load(cache, key.data(), key.size(), left.count(), ObjectLoader<F>::call, &loader, nullptr,
                                   error);
        });
        if (!loaded.ok()) {
            return loaded.error();
        }
        if (loader.value() != nullptr) {
            return Result<Loaded<F>>(loader.value());
        }
        auto found = get_object<T>(cache, key);
        if (found.status() != Status::not_found) {
            return found;
        }
    }
}

} // namespace st::detail

#endif
