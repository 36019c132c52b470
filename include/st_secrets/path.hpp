/* Paths as arguments. */
#ifndef ST_SECRETS_PATH_HPP
#define ST_SECRETS_PATH_HPP

#include <string_view>
#include <type_traits>

namespace st {

/// The path of a file or directory, for a call: text, or a `std::filesystem::path`, which this does not include.
class PathText {
public:
    template <class Text, std::enable_if_t<std::is_convertible_v<const Text &, std::string_view>, int> = 0>
    PathText(const Text &text) noexcept : text_(text) {}
    template <class Path, class = decltype(Path::preferred_separator)>
    PathText(const Path &path) noexcept : text_(path.native()) {}

    operator std::string_view() const noexcept { return text_; }

private:
    std::string_view text_;
};

} // namespace st

#endif
