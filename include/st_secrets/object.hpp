/* Values of any C++ type in a cache. */
#ifndef ST_SECRETS_OBJECT_HPP
#define ST_SECRETS_OBJECT_HPP

#include "bytes.hpp"

#include <memory>

namespace st::detail {

/// Its address identifies the type. Not constant, so that the linker does not merge two of them.
template <class T>
inline char type_tag = 0;

/// What a cache stores for an object: its type and a reference to it. Objects of other languages begin with something
/// else, so their type differs.
struct BoxBase {
    explicit BoxBase(const void *of) noexcept : tag(of) {}
    BoxBase(const BoxBase &) = delete;
    BoxBase &operator=(const BoxBase &) = delete;
    const void *tag;
    void (*destroy)(BoxBase *) = nullptr;
};

template <class T>
struct Box : BoxBase {
    explicit Box(std::shared_ptr<const T> of) noexcept : BoxBase(&type_tag<T>), value(std::move(of)) {
        destroy = [](BoxBase *box) { delete static_cast<Box *>(box); };
    }
    std::shared_ptr<const T> value;
};

inline void drop_box(void *object) noexcept {
    auto *box = static_cast<BoxBase *>(object);
    box->destroy(box);
}

struct DropBox {
    void operator()(BoxBase *box) const noexcept { box->destroy(box); }
};
using AnyBox = std::unique_ptr<BoxBase, DropBox>;

template <class T>
AnyBox boxed(std::shared_ptr<const T> value) {
    return AnyBox(new Box<T>(std::move(value)));
}

/// A temporary reference to an object of a cache.
class Object {
public:
    Object() noexcept = default;
    Object(const Object &) = delete;
    Object &operator=(const Object &) = delete;
    ~Object() { ::st_object_free(&raw_); }
    st_object *raw() noexcept { return &raw_; }

private:
    st_object raw_{};
};

template <class T>
Result<std::shared_ptr<const T>> get_object(const st_cache *cache, std::string_view key) noexcept {
    Result<std::shared_ptr<const T>> result;
    Object object;
    ::st_cache_get_object(cache, key.data(), key.size(), object.raw(), Access::failure(result).raw());
    if (result.ok()) {
        auto *box = static_cast<const BoxBase *>(object.raw()->object);
        if (box == nullptr || box->tag != &type_tag<T>) {
            Access::failure(result) =
                Failure(Status::wrong_type, "the value under this key is an object of another type");
        } else {
            Access::value(result) = static_cast<const Box<T> *>(box)->value;
        }
    }
    return result;
}

} // namespace st::detail

#endif
