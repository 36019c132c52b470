/* Bytes that the library hands out, and times. */
#ifndef ST_SECRETS_BYTES_HPP
#define ST_SECRETS_BYTES_HPP

#include "error.hpp"

#include <chrono>
#include <iosfwd>
#include <limits>

namespace st {

/// Times, which every type of std::chrono turns into.
using Seconds = std::chrono::duration<double>;

/// As a time to live: that of the cache, or of the configuration.
inline constexpr Seconds default_ttl{ST_TTL_DEFAULT};
/// As a timeout: that of the configuration.
inline constexpr Seconds default_timeout{ST_TIMEOUT_DEFAULT};
/// As a time to live or a timeout: no end.
inline constexpr Seconds forever{std::numeric_limits<double>::infinity()};

/// The value of a secret, or of an entry of a cache: a counted reference to memory that cannot be changed and is wiped
/// when its last reference goes. It may be read from any thread.
class Bytes {
public:
    /// Holds nothing.
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

    /// The bytes, as long as this object lives. A copy, such as a std::string of it, is the caller's to wipe.
    [[nodiscard]] std::string_view view() const noexcept { return {c_str(), raw_.len}; }
    /// The bytes with a NUL behind them.
    [[nodiscard]] const char *c_str() const noexcept {
        return raw_.data == nullptr ? "" : reinterpret_cast<const char *>(raw_.data);
    }
    [[nodiscard]] const std::uint8_t *data() const noexcept { return raw_.data; }
    [[nodiscard]] std::size_t size() const noexcept { return raw_.len; }
    [[nodiscard]] bool empty() const noexcept { return raw_.len == 0; }

    /// Another reference to the same bytes.
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

    /// Gives the reference back.
    void reset() noexcept {
        if (raw_.data != nullptr) {
            ::st_bytes_free(&raw_);
        }
    }

    /// For calls of the C functions: a place for bytes, which must hold none.
    [[nodiscard]] st_bytes *raw() noexcept { return &raw_; }

private:
    st_bytes raw_{};
};

/// What may be a secret is not printed by mistake: print its `view()` on purpose.
template <class Char, class Traits>
std::basic_ostream<Char, Traits> &operator<<(std::basic_ostream<Char, Traits> &, const Bytes &) = delete;

namespace detail {

/// Text that the library hands out and that is no secret.
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
