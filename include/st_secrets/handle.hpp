/* The base of `Secrets`, `Cipher`, `Store` and `Redactor`: a handle of their own, or NULL for that of the process. */
#ifndef ST_SECRETS_HANDLE_HPP
#define ST_SECRETS_HANDLE_HPP

#include "config.hpp"

namespace st::detail {

template <class T, void (*Free)(T *)>
class Handle {
public:
    /// A closed handle.
    Handle() noexcept = default;
    /// NULL is the handle of the process.
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

    /// Calls `call(handle, value *, st_error *)`, without the second argument for `void`, and returns its result. A
    /// closed handle is not passed on, because NULL is the handle of the process.
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

    /// As above, but throws a failure. The value is written where it is returned: moving it would stall on the store
    /// that has just written it.
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

    /// As above, for calls that return text that is not secret as `st_bytes`.
    template <class Call>
    Result<std::string> text(Call &&call) const {
        if (!open_) {
            return closed();
        }
        return text_of([&](st_bytes *out, st_error *error) { call(raw_, out, error); });
    }

    /// Opens a handle with `open(config, handle *, st_error *)`.
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

/// Replaces or opens the handle of the process with `reset(config, st_error *)`.
template <class Reset>
Result<void> reset(const Config &config, Reset &&reset) {
    if (config.error().status() != Status::ok) {
        return config.error();
    }
    return result_of<void>([&](st_error *error) { reset(config.raw(), error); });
}

} // namespace st::detail

#endif
