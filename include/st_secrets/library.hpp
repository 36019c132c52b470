/* The library's version and log. */
#ifndef ST_SECRETS_LIBRARY_HPP
#define ST_SECRETS_LIBRARY_HPP

#include "callback.hpp"

#include <memory>
#include <type_traits>

namespace st {

/// The version of the loaded library, as text ("0.1.0") and as a number to compare with `ST_VERSION_NUMBER`.
inline const char *version() noexcept { return ::st_version(); }
inline std::uint32_t version_number() noexcept { return ::st_version_number(); }
/// The version of the loaded library's ABI, to compare with `ST_ABI_VERSION`.
inline std::uint32_t abi_version() noexcept { return ::st_abi_version(); }

/// The severity of a log message.
enum class Level : std::int32_t {
    off = ST_LOG_OFF,
    error = ST_LOG_ERROR,
    warn = ST_LOG_WARN,
    info = ST_LOG_INFO,
    debug = ST_LOG_DEBUG,
    trace = ST_LOG_TRACE,
};

namespace detail {

template <class F>
void log(void *context, std::int32_t level, const char *target, const char *message, std::size_t len) noexcept {
#if ST_SECRETS_EXCEPTIONS
    try {
        (*static_cast<F *>(context))(static_cast<Level>(level), std::string_view(target),
                                     std::string_view(message, len));
    } catch (...) {
        // There is nowhere to report it.
    }
#else
    (*static_cast<F *>(context))(static_cast<Level>(level), std::string_view(target), std::string_view(message, len));
#endif
}

template <class F>
void log_fields(void *context, std::int32_t level, const char *target, const char *message, std::size_t len,
                const st_log_field *fields, std::size_t count) noexcept {
#if ST_SECRETS_EXCEPTIONS
    try {
        (*static_cast<F *>(context))(static_cast<Level>(level), std::string_view(target),
                                     std::string_view(message, len), fields, count);
    } catch (...) {
        // There is nowhere to report it.
    }
#else
    (*static_cast<F *>(context))(static_cast<Level>(level), std::string_view(target), std::string_view(message, len),
                                 fields, count);
#endif
}

} // namespace detail

/// Sends log messages of the whole process up to `level` to `log(Level, std::string_view target, std::string_view
/// message)`, or to `log(Level, std::string_view target, std::string_view message, const st_log_field *fields,
/// std::size_t count)`. `log` is called from several threads at once; exceptions it throws are ignored.
template <class F>
Result<void> try_log_to(Level most, F &&log) {
    using Log = std::decay_t<F>;
    auto context = std::make_unique<Log>(std::forward<F>(log));
    return detail::result_of<void>([&](st_error *error) {
        const auto level = static_cast<std::int32_t>(most);
        if constexpr (std::is_invocable_v<Log &, Level, std::string_view, std::string_view, const st_log_field *,
                                          std::size_t>) {
            ::st_log_set_fields(level, detail::log_fields<Log>, detail::drop<Log>, context.release(), error);
        } else {
            ::st_log_set(level, detail::log<Log>, detail::drop<Log>, context.release(), error);
        }
    });
}
template <class F>
void log_to(Level most, F &&log) {
    try_log_to(most, std::forward<F>(log)).value();
}
/// Stops logging.
inline void log_off() noexcept { ::st_log_set(ST_LOG_OFF, nullptr, nullptr, nullptr, nullptr); }

} // namespace st

#endif
