/* Bytes returned by the library, and durations. */
#ifndef ST_SECRETS_BYTES_HPP
#define ST_SECRETS_BYTES_HPP

#include "error.hpp"

#include <chrono>
#include <iosfwd>
#include <limits>

namespace st {

/// A duration in seconds. Every std::chrono duration converts to it.
using Seconds = std::chrono::duration<double>;

/// As a time to live: the default of the cache or of the configuration.
inline constexpr Seconds default_ttl{ST_TTL_DEFAULT};
/// As a timeout: that of the configuration.
inline constexpr Seconds default_timeout{ST_TIMEOUT_DEFAULT};
/// As a time to live or a timeout: unlimited.
inline constexpr Seconds forever{std::numeric_limits<double>::infinity()};

/// The value of a secret or of a cache entry: a counted reference to immutable memory, which is wiped when the last
/// reference is released. It may be read from any thread.
class Bytes {
public:
    /// An empty value.
    Bytes() noexcept = default;
    Bytes(Bytes &&other) noexcept : raw_(std::exchange(other.raw_, st_bytes{})) {}
    Bytes &operator=(Bytes &&other) noexcept {
        if (this != &other) {
            reset();
            raw_ = std::exchange(other.raw_, st_bytes{});
        }
        return *this;
    }
    Bytes(const Bytes &) = delete;
    Bytes &operator=(const Bytes &) = delete;
    ~Bytes() { reset(); }

    /// The bytes, valid as long as this object. Copies, such as a std::string, are the caller's to wipe.
    [[nodiscard]] std::string_view view() const noexcept { return {c_str(), raw_.len}; }
    /// The bytes, NUL-terminated.
    [[nodiscard]] const char *c_str() const noexcept {
        return raw_.data == nullptr ? "" : reinterpret_cast<const char *>(raw_.data);
    }
    [[nodiscard]] const std::uint8_t *data() const noexcept { return raw_.data; }
    [[nodiscard]] std::size_t size() const noexcept { return raw_.len; }
    [[nodiscard]] bool empty() const noexcept { return raw_.len == 0; }

    /// Returns another reference to the same bytes.
    [[nodiscard]] Bytes clone() const {
        Bytes other;
        if (raw_.data != nullptr) {
            Failure failure;
            if (::st_bytes_clone(&raw_, &other.raw_, failure.raw()) != ST_OK) {
                detail::raise(failure);
            }
        }
        return other;
    }

    /// Releases the reference.
    void reset() noexcept {
        if (raw_.data != nullptr) {
            ::st_bytes_free(&raw_);
        }
    }

    /// The `st_bytes` to pass to the C functions; it must be empty.
    [[nodiscard]] st_bytes *raw() noexcept { return &raw_; }

private:
    st_bytes raw_{};
};

/// Deleted, so that a secret is not printed by mistake: print its `view()` explicitly.
template <class Char, class Traits>
std::basic_ostream<Char, Traits> &operator<<(std::basic_ostream<Char, Traits> &, const Bytes &) = delete;

namespace detail {

/// Converts text that is not secret from `st_bytes` to std::string.
template <class Call>
Result<std::string> text_of(Call &&call) {
    Result<std::string> result;
    Bytes bytes;
    call(bytes.raw(), Access::failure(result).raw());
    if (result.ok()) {
        Access::value(result).assign(bytes.view());
    }
    return result;
}

} // namespace detail
} // namespace st

#endif
