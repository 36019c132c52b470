/* What `Secrets`, `Cipher` and `Store` have in common: a handle of their own, or that of the process, which is NULL. */
#ifndef ST_SECRETS_HANDLE_HPP
#define ST_SECRETS_HANDLE_HPP

#include "config.hpp"

namespace st::detail {

template <class T, void (*Free)(T *)>
class Handle {
public:
    /// A closed one.
    Handle() noexcept = default;
    /// NULL: that of the process.
    explicit Handle(T *raw) noexcept : raw_(raw), open_(true) {}
    Handle(Handle &&other) noexcept
        : raw_(std::exchange(other.raw_, nullptr)), open_(std::exchange(other.open_, false)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            close();
            raw_ = std::exchange(other.raw_, nullptr);
            open_ = std::exchange(other.open_, false);
        }
        return *this;
    }
    Handle(const Handle &) = delete;
    Handle &operator=(const Handle &) = delete;
    ~Handle() { close(); }

    void close() noexcept {
        if (raw_ != nullptr) {
            Free(std::exchange(raw_, nullptr));
        }
        open_ = false;
    }
    [[nodiscard]] bool is_open() const noexcept { return open_; }
    [[nodiscard]] const T *raw() const noexcept { return raw_; }

    /// What `call(handle, place of the value, st_error *)` gives, for `void` without the place. A closed handle is not
    /// passed on: it would be that of the process.
    template <class R, class Call>
    Result<R> call(Call &&call) const {
        if (!open_) {
            return closed();
        }
        Result<R> result;
        if constexpr (std::is_void_v<R>) {
            call(raw_, Access::failure(result).raw());
        } else {
            call(raw_, Access::value(result), Access::failure(result).raw());
        }
        return result;
    }

    /// The same for a call whose failure is thrown, and whose value is written where it is returned: to move it there would
    /// wait for what the library has just written.
    template <class R, class Call>
    R must(Call &&call) const {
        R value{};
        Failure failure;
        if (open_) {
            call(raw_, value, failure.raw());
        } else {
            failure = closed();
        }
        if (failure.status() != Status::ok) {
            raise(failure);
        }
        return value;
    }

    /// The same for a call that takes a place for bytes and gives text that is no secret.
    template <class Call>
    Result<std::string> text(Call &&call) const {
        if (!open_) {
            return closed();
        }
        return text_of([&](st_bytes *out, st_error *error) { call(raw_, out, error); });
    }

    /// A handle with these settings, by `open(config, place of the handle, st_error *)`.
    template <class Open>
    static Result<Handle> open(const Config &config, Open &&open) {
        if (config.error().status() != Status::ok) {
            return config.error();
        }
        T *raw = nullptr;
        Failure failure;
        if (open(config.raw(), &raw, failure.raw()) != ST_OK) {
            return failure;
        }
        return Handle(raw);
    }

    static Failure closed() noexcept {
        return Failure(Status::invalid_argument, "the handle was closed or moved from");
    }

private:
    T *raw_ = nullptr;
    bool open_ = false;
};

/// Replaces what the process has, by `reset(config, st_error *)`.
template <class Reset>
Result<void> reset(const Config &config, Reset &&reset) {
    if (config.error().status() != Status::ok) {
        return config.error();
    }
    return result_of<void>([&](st_error *error) { reset(config.raw(), error); });
}

} // namespace st::detail

#endif
