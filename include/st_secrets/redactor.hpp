/* Redaction: replaces secret values in text that is printed or logged. */
#ifndef ST_SECRETS_REDACTOR_HPP
#define ST_SECRETS_REDACTOR_HPP

#include "handle.hpp"

#include <ostream>
#include <streambuf>

namespace st {

/// Replaces values in text. All const members may be called from any number of threads.
class Redactor {
public:
    /// A closed handle; see `open` and `process`.
    Redactor() noexcept = default;

    /// Opens a redactor that has no value yet. Settings: `redact_min`, `redact_with`.
    static Redactor open(const Config &config = Config()) { return try_open(config).value(); }
    static Result<Redactor> try_open(const Config &config = Config()) {
        auto handle = Handle::open(config, ::st_redactor_open);
        return handle ? Result<Redactor>(Redactor(std::move(*handle))) : Result<Redactor>(handle.error());
    }
    /// The redactor of the process, which has the values that the library returns. See `start`.
    static Redactor process() noexcept { return Redactor(Handle(nullptr)); }
    /// Opens the redactor of the process: from now on it receives each value that the library returns.
    static void start(const Config &config = Config()) { try_start(config).value(); }
    static Result<void> try_start(const Config &config = Config()) {
        return detail::reset(config, ::st_redactor_start);
    }

    /// Frees the redactor. May be called again.
    void close() noexcept { handle_.close(); }
    [[nodiscard]] bool is_open() const noexcept { return handle_.is_open(); }

    /// Adds a value, with the name that `redact_with` can show. Returns whether it has at least `redact_min` bytes; a
    /// shorter one is ignored.
    bool add(std::string_view value, std::string_view name = {}) const { return try_add(value, name).value(); }
    Result<bool> try_add(std::string_view value, std::string_view name = {}) const noexcept {
        return handle_.call<bool>([&](const st_redactor *redactor, bool &added, st_error *error) {
            ::st_redactor_add(redactor, name.empty() ? nullptr : name.data(), name.size(), detail::data(value),
                              value.size(), &added, error);
        });
    }
    /// Returns the text with every value replaced.
    std::string redact(std::string_view text) const { return try_redact(text).value(); }
    Result<std::string> try_redact(std::string_view text) const {
        return handle_.text([&](const st_redactor *redactor, st_bytes *out, st_error *error) {
            ::st_redact(redactor, detail::data(text), text.size(), out, error);
        });
    }
    /// Copies one file descriptor to another until its end, with every value replaced.
    void copy(int from, int to) const { try_copy(from, to).value(); }
    Result<void> try_copy(int from, int to) const noexcept {
        return handle_.call<void>(
            [&](const st_redactor *redactor, st_error *error) { ::st_redact_copy(redactor, from, to, error); });
    }

    /// The handle for calls of the C functions; NULL for the redactor of the process and for a closed one.
    [[nodiscard]] const st_redactor *raw() const noexcept { return handle_.raw(); }

private:
    using Handle = detail::Handle<st_redactor, ::st_redactor_free>;
    explicit Redactor(Handle handle) noexcept : handle_(std::move(handle)) {}
    Handle handle_{};
};

/// A stream buffer that passes text on to another one, with every value replaced:
///
///     st::RedactingBuffer buffer(std::cout.rdbuf());
///     std::streambuf *before = std::cout.rdbuf(&buffer);
///
/// What may be the beginning of a value is held back until more is written; flushing does not release it, because
/// std::cerr flushes after each operation. `finish` and the destructor write it. The other buffer must outlive this
/// one.
/// If a call of the library fails, nothing is passed on, and the stream gets `badbit`.
class RedactingBuffer : public std::streambuf {
public:
    explicit RedactingBuffer(std::streambuf *to, const Redactor &redactor = Redactor::process()) : to_(to) {
        if (redactor.is_open()) {
            ::st_redact_stream_open(redactor.raw(), &stream_, nullptr);
        }
    }
    RedactingBuffer(const RedactingBuffer &) = delete;
    RedactingBuffer &operator=(const RedactingBuffer &) = delete;
    ~RedactingBuffer() override {
        finish();
        ::st_redact_stream_free(stream_);
    }

    /// Writes what is held back. Returns whether it could be written.
    bool finish() {
        Bytes out;
        return stream_ != nullptr && ::st_redact_stream_flush(stream_, out.raw(), nullptr) == ST_OK && pass_on(out) &&
               to_->pubsync() == 0;
    }

protected:
    std::streamsize xsputn(const char *text, std::streamsize size) override {
        Bytes out;
        const bool redacted =
            stream_ != nullptr && ::st_redact_stream_write(stream_, text, static_cast<std::size_t>(size), out.raw(),
                                                           nullptr, nullptr) == ST_OK;
        return redacted && pass_on(out) ? size : 0;
    }
    int_type overflow(int_type character) override {
        if (traits_type::eq_int_type(character, traits_type::eof())) {
            return traits_type::not_eof(character);
        }
        const char byte = traits_type::to_char_type(character);
        return xsputn(&byte, 1) == 1 ? character : traits_type::eof();
    }
    int sync() override { return to_->pubsync(); }

private:
    bool pass_on(const Bytes &text) {
        const auto size = static_cast<std::streamsize>(text.size());
        return to_->sputn(text.c_str(), size) == size;
    }

    std::streambuf *to_;
    st_redact_stream *stream_ = nullptr;
};

/// An output stream that writes to another one through a `RedactingBuffer`.
class RedactingStream : public std::ostream {
public:
    explicit RedactingStream(std::ostream &to, const Redactor &redactor = Redactor::process())
        : std::ostream(nullptr), buffer_(to.rdbuf(), redactor) {
        rdbuf(&buffer_);
    }

    /// Writes what is held back.
    void finish() {
        if (!buffer_.finish()) {
            setstate(badbit);
        }
    }

private:
    RedactingBuffer buffer_;
};

} // namespace st

#endif
