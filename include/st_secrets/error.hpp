/* The outcome of calls: a `Result`, or an `Error` that is thrown. */
#ifndef ST_SECRETS_ERROR_HPP
#define ST_SECRETS_ERROR_HPP

#if __cplusplus < 201703L
#error "st_secrets.hpp needs C++17 or later: compile with -std=c++17, or set CMAKE_CXX_STANDARD to 17"
#endif

#include "../st_secrets.h"

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#if __cplusplus > 202002L && __has_include(<expected>)
#include <expected>
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define ST_SECRETS_EXCEPTIONS 1
#else
#define ST_SECRETS_EXCEPTIONS 0
#endif

namespace st {

/// The status of a call (`ST_OK`, …). Later versions of the library may return other numbers.
enum class Status : st_status {
    ok = ST_OK,
    not_found = ST_NOT_FOUND,
    invalid_argument = ST_INVALID_ARGUMENT,
    config = ST_CONFIG,
    io = ST_IO,
    access_denied = ST_ACCESS_DENIED,
    unavailable = ST_UNAVAILABLE,
    timeout = ST_TIMEOUT,
    protocol = ST_PROTOCOL,
    bad_token = ST_BAD_TOKEN,
    bad_key = ST_BAD_KEY,
    buffer_too_small = ST_BUFFER_TOO_SMALL,
    callback = ST_CALLBACK,
    corrupt = ST_CORRUPT,
    busy = ST_BUSY,
    wrong_type = ST_WRONG_TYPE,
    read_only = ST_READ_ONLY,
    no_memory = ST_NO_MEMORY,
    abandoned = ST_ABANDONED,
    panic = ST_PANIC,
};

/// Returns the name of a status, such as "ST_NOT_FOUND".
inline const char *name(Status status) noexcept { return ::st_status_name(static_cast<st_status>(status)); }

/// The origin of a failure or value (`ST_SOURCE_NONE`, …).
enum class Source : std::int32_t {
    none = ST_SOURCE_NONE,
    env = ST_SOURCE_ENV,
    file = ST_SOURCE_FILE,
    aws = ST_SOURCE_AWS,
    vault = ST_SOURCE_VAULT,
    custom = ST_SOURCE_CUSTOM,
    store = ST_SOURCE_STORE,
    encryption = ST_SOURCE_ENCRYPTION,
    huggingface = ST_SOURCE_HUGGINGFACE,
    exec = ST_SOURCE_EXEC,
    google = ST_SOURCE_GOOGLE,
    azure = ST_SOURCE_AZURE,
    kubernetes = ST_SOURCE_KUBERNETES,
    onepassword = ST_SOURCE_ONEPASSWORD,
    infisical = ST_SOURCE_INFISICAL,
    aws_parameters = ST_SOURCE_AWS_PARAMETERS,
    credentials = ST_SOURCE_CREDENTIALS,
};

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Weffc++" // only the used part of the message is initialized, see below
#endif

/// The description of a failure: an `st_error`.
class Failure {
public:
    /// No failure.
    Failure() noexcept {
        // Leaves the rest of the message uninitialized: every call constructs a Failure.
        raw_.size = sizeof raw_;
        raw_.status = ST_OK;
        raw_.source = ST_SOURCE_NONE;
        raw_.detail = 0;
        raw_.flags = 0;
        raw_.message[0] = 0;
    }

    /// A failure raised by the program. A message that is too long is truncated.
    Failure(Status status, std::string_view message) noexcept : Failure() {
        raw_.status = static_cast<st_status>(status);
        std::size_t len = message.size() < sizeof raw_.message ? message.size() : sizeof raw_.message - 1;
        // Not in the middle of a UTF-8 character.
        while (len < message.size() && len > 0 && (static_cast<unsigned char>(message[len]) & 0xC0u) == 0x80u) {
            len--;
        }
        if (len != 0) {
            std::memcpy(raw_.message, message.data(), len);
        }
        raw_.message[len] = 0;
    }

    Failure(const Failure &other) noexcept { *this = other; }
    Failure &operator=(const Failure &other) noexcept {
        if (this != &other) {
            raw_.size = other.raw_.size;
            raw_.status = other.raw_.status;
            raw_.source = other.raw_.source;
            raw_.detail = other.raw_.detail;
            raw_.flags = other.raw_.flags;
            std::memcpy(raw_.message, other.raw_.message, std::strlen(other.raw_.message) + 1);
        }
        return *this;
    }

    [[nodiscard]] Status status() const noexcept { return static_cast<Status>(raw_.status); }
    [[nodiscard]] Source source() const noexcept { return static_cast<Source>(raw_.source); }
    /// The HTTP status or `errno`; 0 if there is none.
    [[nodiscard]] int detail() const noexcept { return raw_.detail; }
    /// Whether the same call may succeed later without any change by the user.
    [[nodiscard]] bool retryable() const noexcept { return (raw_.flags & ST_ERROR_RETRYABLE) != 0; }
    /// What failed, where, and the remedy. Never contains a value, key or token.
    [[nodiscard]] const char *message() const noexcept { return raw_.message; }

    /// The `st_error` to pass to the C functions.
    [[nodiscard]] st_error *raw() noexcept { return &raw_; }

private:
    st_error raw_;
};

#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/// The exception thrown for a failure. Custom providers and loaders may throw it too.
class Error : public std::runtime_error {
public:
    explicit Error(const Failure &failure)
        : std::runtime_error(failure.message()),
          status_(failure.status()),
          source_(failure.source()),
          detail_(failure.detail()),
          retryable_(failure.retryable()) {}
    Error(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    [[nodiscard]] Status status() const noexcept { return status_; }
    [[nodiscard]] Source source() const noexcept { return source_; }
    /// The HTTP status or `errno`; 0 if there is none.
    [[nodiscard]] int detail() const noexcept { return detail_; }
    /// Whether the same call may succeed later without any change by the user.
    [[nodiscard]] bool retryable() const noexcept { return retryable_; }

private:
    Status status_;
    Source source_ = Source::none;
    int detail_ = 0;
    bool retryable_ = false;
};

namespace detail {

[[noreturn]] inline void raise(const Failure &failure) {
#if ST_SECRETS_EXCEPTIONS
    throw Error(failure);
#else
    (void)failure;
    std::terminate();
#endif
}

struct Access;

} // namespace detail

/// The result of a call: a value or a failure.
template <class T>
class [[nodiscard]] Result {
public:
    Result() = default;
    Result(T value) : value_(std::move(value)) {}
    Result(const Failure &failure) noexcept : failure_(failure) {}

    [[nodiscard]] bool ok() const noexcept { return failure_.status() == Status::ok; }
    explicit operator bool() const noexcept { return ok(); }
    [[nodiscard]] Status status() const noexcept { return failure_.status(); }
    /// The failure; `Status::ok` if there is none.
    [[nodiscard]] const Failure &error() const noexcept { return failure_; }

    /// Returns the value, or throws the failure, as `value()` does: no empty value takes its place.
    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T operator*() && { return std::move(*this).value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }

    /// Returns the value, or throws the failure.
    T &value() & {
        check();
        return value_;
    }
    const T &value() const & {
        check();
        return value_;
    }
    T value() && {
        check();
        return std::move(value_);
    }
    /// Returns what the call wrote, also after a failure: the size that is needed after `Status::buffer_too_small`,
    /// otherwise an empty value.
    [[nodiscard]] const T &output() const noexcept { return value_; }
    /// Returns the value, or `other` after a failure.
    template <class U>
    T value_or(U &&other) && {
        return ok() ? std::move(value_) : static_cast<T>(std::forward<U>(other));
    }
#ifdef __cpp_lib_expected
    /// Returns the result as the type of C++23, for `and_then`, `transform` and `or_else`.
    std::expected<T, Failure> expected() && {
        if (!ok()) {
            return std::unexpected(failure_);
        }
        return std::move(value_);
    }
#endif

private:
    friend struct detail::Access;
    void check() const {
        if (!ok()) {
            detail::raise(failure_);
        }
    }
    T value_{};
    Failure failure_{};
};

/// The result of a call without a value.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(const Failure &failure) noexcept : failure_(failure) {}

    [[nodiscard]] bool ok() const noexcept { return failure_.status() == Status::ok; }
    explicit operator bool() const noexcept { return ok(); }
    [[nodiscard]] Status status() const noexcept { return failure_.status(); }
    [[nodiscard]] const Failure &error() const noexcept { return failure_; }
    /// Throws the failure, if any.
    void value() const {
        if (!ok()) {
            detail::raise(failure_);
        }
    }
#ifdef __cpp_lib_expected
    /// Returns the result as the type of C++23.
    std::expected<void, Failure> expected() const {
        if (!ok()) {
            return std::unexpected(failure_);
        }
        return {};
    }
#endif

private:
    friend struct detail::Access;
    Failure failure_{};
};

namespace detail {

/// Lets calls write directly into the result that they return.
struct Access {
    template <class T>
    static T &value(Result<T> &result) noexcept {
        return result.value_;
    }
    template <class T>
    static Failure &failure(Result<T> &result) noexcept {
        return result.failure_;
    }
};

/// Returns the result that `call(value *, st_error *)` fills in.
template <class T, class Call>
Result<T> result_of(Call &&call) {
    Result<T> result;
    if constexpr (std::is_void_v<T>) {
        call(Access::failure(result).raw());
    } else {
        call(Access::value(result), Access::failure(result).raw());
    }
    return result;
}

/// The library rejects NULL as text, even if it is empty.
inline const char *data(std::string_view text) noexcept { return text.data() == nullptr ? "" : text.data(); }

} // namespace detail
} // namespace st

#endif
