/* The key under which the result of a function call is cached: `prefix:function:argument:argument`. All bindings
 * build the same key for the same call. */
#ifndef ST_SECRETS_FUNCTION_KEY_HPP
#define ST_SECRETS_FUNCTION_KEY_HPP

#include "callback.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <tuple>
#include <variant>
#include <vector>

namespace st {

/// A named argument. Named arguments follow the positional ones.
template <class T>
struct Named {
    std::string_view name;
    const T &value;
};

template <class T>
Named<T> named(std::string_view name, const T &value) noexcept {
    return {name, value};
}

namespace detail {

template <class T>
struct IsNamed : std::false_type {};
template <class T>
struct IsNamed<Named<T>> : std::true_type {};

template <class T>
inline constexpr bool is_byte = std::is_same_v<T, std::byte> || std::is_same_v<T, unsigned char>;

// Classifies argument types by the operations they support.
template <class T, class = void>
struct IsRange : std::false_type {};
template <class T>
struct IsRange<
    T, std::void_t<decltype(std::begin(std::declval<const T &>())), decltype(std::end(std::declval<const T &>()))>>
    : std::true_type {};
template <class T, class = void>
struct IsMap : std::false_type {};
template <class T>
struct IsMap<T, std::void_t<typename T::key_type, typename T::mapped_type>> : std::true_type {};
template <class T, class = void>
struct IsTuple : std::false_type {};
template <class T>
struct IsTuple<T, std::void_t<decltype(std::tuple_size<T>::value)>> : std::true_type {};

template <class T>
struct IsVariant : std::false_type {};
template <class... T>
struct IsVariant<std::variant<T...>> : std::true_type {};
template <class T>
inline constexpr bool is_null =
    std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::nullopt_t> || std::is_same_v<T, std::monostate>;

template <class T>
struct NoKey : std::false_type {};

inline bool needs_quotes(std::string_view text) noexcept {
    if (text.empty() || std::string_view("0123456789+-.[{").find(text.front()) != std::string_view::npos ||
        text.find_first_of(":=\\\"") != std::string_view::npos) {
        return true;
    }
    for (std::string_view word : {"true", "false", "null", "nan", "inf"}) {
        if (std::equal(text.begin(), text.end(), word.begin(), word.end(),
                       [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b; })) {
            return true;
        }
    }
    return false;
}

inline void write_text(std::string &key, std::string_view text, bool quotes) {
    if (!quotes) {
        key += text;
        return;
    }
    key += '"';
    for (char c : text) {
        if (c == '\\' || c == '"') {
            key += '\\';
        }
        key += c;
    }
    key += '"';
}

/// A template, so that standard libraries without std::to_chars for floating point fail only if it is used.
template <class Double>
void write_float(std::string &key, Double value) {
    if (std::isnan(value)) {
        key += "nan";
        return;
    }
    if (std::isinf(value)) {
        key += value < 0 ? "-inf" : "inf";
        return;
    }
    // Shortest digits. The exponent `e-07` or `e+16` becomes `e-7` or `e16`.
    char text[40];
    std::to_chars_result end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
    std::string_view digits(text, static_cast<std::size_t>(end.ptr - text));
    std::size_t e = digits.find('e');
    key += digits.substr(0, e + 1);
    key += digits[e + 1] == '-' ? "-" : "";
    std::size_t exponent = digits.find_first_not_of('0', e + 2);
    key += exponent == std::string_view::npos ? std::string_view("0") : digits.substr(exponent);
}

inline void write_bytes(std::string &key, const unsigned char *bytes, std::size_t len) {
    const char *digits = "0123456789abcdef";
    key += "x\"";
    for (std::size_t i = 0; i < len; i++) {
        key += digits[bytes[i] >> 4];
        key += digits[bytes[i] & 15];
    }
    key += '"';
}

template <class T>
void write_argument(std::string &key, const T &value, bool within);

template <class Range>
void write_map(std::string &key, const Range &items) {
    std::vector<std::pair<std::string_view, decltype(&std::begin(items)->second)>> sorted;
    for (const auto &item : items) {
        sorted.emplace_back(item.first, &item.second);
    }
    std::sort(sorted.begin(), sorted.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    key += '{';
    bool first = true;
    for (const auto &[name, value] : sorted) {
        key += first ? "" : ",";
        first = false;
        write_text(key, name, true);
        key += '=';
        write_argument(key, *value, true);
    }
    key += '}';
}

template <class Range>
void write_list(std::string &key, const Range &items) {
    key += '[';
    bool first = true;
    for (const auto &item : items) {
        key += first ? "" : ",";
        first = false;
        write_argument(key, item, true);
    }
    key += ']';
}

template <class Tuple>
void write_tuple(std::string &key, const Tuple &items) {
    key += '[';
    std::apply(
        [&key](const auto &...item) {
            std::size_t index = 0;
            ((key += index++ == 0 ? "" : ",", write_argument(key, item, true)), ...);
            (void)index;
        },
        items);
    key += ']';
}

template <class T>
void write_argument(std::string &key, const T &value, bool within) {
    if constexpr (is_null<T>) {
        key += "null";
    } else if constexpr (std::is_same_v<T, bool>) {
        key += value ? "true" : "false";
    } else if constexpr (IsOptional<T>::value) {
        value.has_value() ? write_argument(key, *value, within) : void(key += "null");
    } else if constexpr (IsVariant<T>::value) {
        std::visit([&](const auto &one) { write_argument(key, one, within); }, value);
    } else if constexpr (std::is_pointer_v<T> && std::is_convertible_v<const T &, std::string_view>) {
        value != nullptr ? write_text(key, value, within || needs_quotes(value)) : void(key += "null");
    } else if constexpr (std::is_convertible_v<const T &, std::string_view>) {
        std::string_view text = value;
        write_text(key, text, within || needs_quotes(text));
    } else if constexpr (std::is_integral_v<T>) {
        static_assert(!std::is_same_v<T, char>, "whether a char is text or a number is not clear: convert it");
        key += std::to_string(value);
    } else if constexpr (std::is_enum_v<T> && !std::is_same_v<T, std::byte>) {
        write_argument(key, static_cast<std::underlying_type_t<T>>(value), within);
    } else if constexpr (std::is_floating_point_v<T>) {
        write_float(key, static_cast<double>(value));
    } else if constexpr (IsMap<T>::value) {
        write_map(key, value);
    } else if constexpr (IsRange<T>::value) {
        if constexpr (is_byte<std::decay_t<decltype(*std::begin(value))>>) {
            std::vector<unsigned char> bytes;
            for (auto byte : value) {
                bytes.push_back(static_cast<unsigned char>(byte));
            }
            write_bytes(key, bytes.data(), bytes.size());
        } else {
            write_list(key, value);
        }
    } else if constexpr (IsTuple<T>::value) {
        write_tuple(key, value);
    } else {
        static_assert(NoKey<T>::value,
                      "an argument of this type has no place in a key: pass what stands for it, such as "
                      "a number or text");
    }
}

} // namespace detail

/// Returns the key of a call with these arguments. Supported are booleans, numbers, text, bytes (ranges of std::byte or
/// unsigned char), lists (other ranges, tuples), maps with text keys, std::optional, std::variant and nullptr;
/// `st::named(name, value)` is a named argument.
///
/// A `float` is converted to `double`.
template <class... Args>
std::string function_key(std::string_view prefix, std::string_view function, const Args &...args) {
    std::string key(prefix);
    key += prefix.empty() ? "" : ":";
    key += function;
    std::vector<std::pair<std::string_view, std::string>> by_name;
    [[maybe_unused]] auto add = [&](const auto &arg) {
        if constexpr (detail::IsNamed<std::decay_t<decltype(arg)>>::value) {
            std::string value;
            detail::write_argument(value, arg.value, false);
            by_name.emplace_back(arg.name, std::move(value));
        } else {
            key += ':';
            detail::write_argument(key, arg, false);
        }
    };
    (add(args), ...);
    std::sort(by_name.begin(), by_name.end());
    for (const auto &[name, value] : by_name) {
        key += ':';
        detail::write_text(key, name, detail::needs_quotes(name));
        key += '=';
        key += value;
    }
    return key;
}

} // namespace st

#endif
