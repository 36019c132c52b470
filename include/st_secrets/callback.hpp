/* Callbacks that the library calls: providers of secrets, loaders of a cache. */
#ifndef ST_SECRETS_CALLBACK_HPP
#define ST_SECRETS_CALLBACK_HPP

#include "bytes.hpp"

#include <new>
#include <optional>

namespace st {

/// Receives the answer of a provider or loader. A callback that sets nothing answers `Status::not_found`.
class Reply {
public:
    Reply(st_reply *raw, double timeout) noexcept : raw_(raw), timeout_(timeout) {}
    Reply(const Reply &) = delete;
    Reply &operator=(const Reply &) = delete;

    /// The time left to answer.
    [[nodiscard]] Seconds timeout() const noexcept { return Seconds(timeout_); }
    /// Answers with a copy of `bytes`, to be cached for `ttl`.
    void value(std::string_view bytes, Seconds ttl = default_ttl) noexcept {
        status_ = ::st_reply_bytes(raw_, detail::data(bytes), bytes.size(), ttl.count());
    }
    /// Answers with a failure. The message must not contain a secret.
    void fail(Status status, std::string_view message = {}) noexcept {
        ::st_reply_error(raw_, static_cast<st_status>(status), detail::data(message), message.size());
        status_ = static_cast<st_status>(status);
    }
    /// Answers with an object and transfers its ownership.
    void object(void *object, st_drop_fn drop, Seconds ttl) noexcept {
        status_ = ::st_reply_object(raw_, object, drop, ttl.count());
    }

    /// The value for the C callback to return.
    [[nodiscard]] st_status status() const noexcept { return status_; }

private:
    st_reply *raw_;
    double timeout_;
    st_status status_ = ST_NOT_FOUND;
};

namespace detail {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsResult : std::false_type {};
template <class T>
struct IsResult<Result<T>> : std::true_type {};

/// Converts the return value of a callback into an answer.
template <class T>
void answer(Reply &reply, const T &value) {
    if constexpr (IsOptional<T>::value) {
        if (value.has_value()) {
            answer(reply, *value);
        }
    } else if constexpr (IsResult<T>::value) {
        if (value.ok()) {
            answer(reply, *value);
        } else {
            reply.fail(value.status(), value.error().message());
        }
    } else if constexpr (std::is_same_v<T, Bytes>) {
        reply.value(value.view());
    } else if constexpr (std::is_pointer_v<T>) {
        if (value != nullptr) {
            reply.value(value);
        }
    } else {
        static_assert(std::is_convertible_v<const T &, std::string_view>,
                      "a provider or loader returns text, st::Bytes, or std::optional or st::Result of these");
        reply.value(value);
    }
}

#if ST_SECRETS_EXCEPTIONS
/// Answers with the exception that is being handled. The message of an exception other than `Error` is dropped, because
/// it may contain a secret.
inline void fail_with_exception(Reply &reply) noexcept {
    try {
        throw;
    } catch (const Error &error) {
        reply.fail(error.status() == Status::ok ? Status::callback : error.status(), error.what());
    } catch (const std::bad_alloc &) {
        reply.fail(Status::no_memory, "out of memory");
    } catch (...) {
        reply.fail(Status::callback, "it threw an exception");
    }
}
#endif

/// Runs `body` and answers with a failure if it throws.
template <class Body>
void answer_safely(Reply &reply, Body &&body) noexcept {
#if ST_SECRETS_EXCEPTIONS
    try {
        body();
    } catch (...) {
        fail_with_exception(reply);
    }
#else
    (void)reply;
    body();
#endif
}

/// Calls `function(key)` or `function(key, reply)`.
template <class F>
void ask(F &function, std::string_view key, Reply &reply) {
    if constexpr (std::is_invocable_v<F &, std::string_view, Reply &>) {
        function(key, reply);
    } else {
        static_assert(std::is_invocable_v<F &, std::string_view>,
                      "a provider or loader takes (std::string_view key) or (std::string_view key, st::Reply &reply)");
        answer(reply, function(key));
    }
}

/// The C provider callback; its context is an F.
template <class F>
st_status provider(void *context, const char *key, std::size_t len, double timeout, st_reply *raw) noexcept {
    Reply reply(raw, timeout);
    answer_safely(reply, [&] { ask(*static_cast<F *>(context), {key, len}, reply); });
    return reply.status();
}

/// The C callback of a watch; its context is an F.
template <class F>
void changed(void *context, const char *key, std::size_t len, std::uint64_t generation) noexcept {
    (*static_cast<F *>(context))(std::string_view(key == nullptr ? "" : key, len), generation);
}

template <class T>
void drop(void *object) noexcept {
    delete static_cast<T *>(object);
}

} // namespace detail
} // namespace st

#endif
