/* Conversion of values between JavaScript and C. */
#include <stdlib.h>
#include <string.h>

#include "addon.h"

napi_value throw_type(napi_env env, const char *name, const char *must) {
    char message[160];
    size_t len = 0;
    for (const char *part[] = {name, " must be ", must, NULL}, **next = part; *next; next++) {
        for (const char *from = *next; *from && len + 1 < sizeof message; from++) message[len++] = *from;
    }
    message[len] = 0;
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return NULL;
}

static bool out_of_memory(napi_env env) {
    napi_throw_range_error(env, "ERR_MEMORY_ALLOCATION_FAILED", "out of memory for an argument of this size");
    return false;
}

bool is_nothing(napi_env env, napi_value value) {
    napi_valuetype type;
    return napi_typeof(env, value, &type) == napi_ok && (type == napi_undefined || type == napi_null);
}

/* --- into C --- */

static bool reserve(napi_env env, input *out, size_t len) {
    out->is_small = len < sizeof out->small;
    out->data = out->is_small ? out->small : malloc(len + 1);
    if (out->data == NULL) return out_of_memory(env);
    out->data[len] = 0;
    out->len = len;
    return true;
}

void input_free(input *in) {
    if (in->data == NULL) return;
    explicit_bzero(in->data, in->len);
    if (!in->is_small) free(in->data);
    in->data = NULL;
}

/* V8 writes an unpaired surrogate as U+FFFD, so that different strings would become equal. */
static bool has_half_a_pair(napi_env env, napi_value value, const input *text) {
    if (memmem(text->data, text->len, "\xEF\xBF\xBD", 3) == NULL) return false;
    size_t len = 0;
    if (napi_get_value_string_utf16(env, value, NULL, 0, &len) != napi_ok) return true;
    char16_t *units = calloc(len + 1, sizeof *units);
    if (units == NULL || napi_get_value_string_utf16(env, value, units, len + 1, &len) != napi_ok) {
        free(units);
        return true;
    }
    bool found = false;
    for (size_t at = 0; at < len && !found; at++) {
        bool high = units[at] >= 0xD800 && units[at] <= 0xDBFF, low = units[at] >= 0xDC00 && units[at] <= 0xDFFF;
        bool pair = high && at + 1 < len && units[at + 1] >= 0xDC00 && units[at + 1] <= 0xDFFF;
        at += pair;
        found = (high && !pair) || low;
    }
    explicit_bzero(units, len * sizeof *units);
    free(units);
    return found;
}

bool read_text(napi_env env, napi_value value, const char *name, input *out) {
    size_t len = 0;
    out->data = out->small;
    out->is_small = true;
    if (napi_get_value_string_utf8(env, value, out->small, sizeof out->small, &len) != napi_ok) {
        out->data = NULL;
        throw_type(env, name, "a string");
        return false;
    }
    out->len = len;
    /* The copy stops before a character that does not fit, so up to three bytes and the NUL may be unused. */
    if (len + 4 >= sizeof out->small) {
        if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok || !reserve(env, out, len)) return false;
        napi_get_value_string_utf8(env, value, out->data, len + 1, &out->len);
    }
    if (has_half_a_pair(env, value, out)) {
        input_free(out);
        throw_type(env, name, "well-formed Unicode");
        return false;
    }
    return true;
}

/* V8 copies one-byte strings much faster than it encodes them as UTF-8. */
ptrdiff_t read_short(napi_env env, napi_value value, char *buffer, size_t capacity) {
    char16_t units[SHORT_KEY];
    size_t len = 0;
    if (capacity > SHORT_KEY) capacity = SHORT_KEY;
    if (napi_get_value_string_utf16(env, value, units, capacity, &len) != napi_ok || len + 1 >= capacity) return -1;
    unsigned all = 0;
    for (size_t at = 0; at < len; at++) {
        all |= units[at];
        buffer[at] = (char)units[at];
    }
    return all < 0x80 ? (ptrdiff_t)len : -1;
}

bool read_bytes(napi_env env, napi_value value, const char *name, input *out) {
    napi_valuetype kind;
    if (napi_typeof(env, value, &kind) != napi_ok) return false;
    if (kind == napi_string) return read_text(env, value, name, out);
    bool is_array = false;
    napi_typedarray_type type;
    size_t len;
    void *data;
    if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array ||
        napi_get_typedarray_info(env, value, &type, &len, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
        throw_type(env, name, "a string or a Uint8Array");
        return false;
    }
    if (!reserve(env, out, len)) return false;
    if (len > 0) memcpy(out->data, data, len);
    return true;
}

bool read_value(napi_env env, napi_value value, const char *name, input *out) {
    napi_valuetype kind;
    if (napi_typeof(env, value, &kind) != napi_ok || kind != napi_external) return read_bytes(env, value, name, out);
    const handle *held = open_handle(env, value, SECRET, name);
    if (held == NULL || !reserve(env, out, held->is.secret->bytes.len)) return false;
    memcpy(out->data, held->is.secret->bytes.data, out->len);
    return true;
}

/* --- into JavaScript --- */

static bool is_ascii(const unsigned char *data, size_t len) {
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t word;
        memcpy(&word, data + at, 8);
        if (word & 0x8080808080808080u) return false;
    }
    for (; at < len; at++) {
        if (data[at] & 0x80) return false;
    }
    return true;
}

/* Returns the length of the UTF-8 character at the start; 0 if it is invalid. */
static size_t character(const unsigned char *data, size_t len) {
    if (data[0] < 0x80) return 1;
    size_t size = data[0] >= 0xF0 ? 4 : data[0] >= 0xE0 ? 3 : 2;
    if (data[0] < 0xC2 || data[0] > 0xF4 || size > len) return 0;
    /* The range of the second byte excludes overlong forms, surrogates and code points beyond Unicode. */
    unsigned char low = data[0] == 0xE0 ? 0xA0 : data[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = data[0] == 0xED ? 0x9F : data[0] == 0xF4 ? 0x8F : 0xBF;
    if (data[1] < low || data[1] > high) return 0;
    for (size_t at = 2; at < size; at++) {
        if ((data[at] & 0xC0) != 0x80) return 0;
    }
    return size;
}

static bool is_utf8(const unsigned char *data, size_t len) {
    while (len > 0) {
        size_t size = character(data, len);
        if (size == 0) return false;
        data += size;
        len -= size;
    }
    return true;
}

static napi_value too_long(napi_env env) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_range_error(env, "ERR_STRING_TOO_LONG", "the value is too long for JavaScript");
    return NULL;
}

napi_value make_text(napi_env env, const void *data, size_t len) {
    napi_value text = NULL;
    if (is_ascii(data, len)) {
        return napi_create_string_latin1(env, data, len, &text) == napi_ok ? text : too_long(env);
    }
    if (!is_utf8(data, len)) {
        napi_throw_type_error(env, "ERR_ENCODING_INVALID_ENCODED_DATA", "the value is not UTF-8: take its bytes");
        return NULL;
    }
    return napi_create_string_utf8(env, data, len, &text) == napi_ok ? text : too_long(env);
}

napi_value make_copy(napi_env env, const void *data, size_t len) {
    napi_value copy = NULL;
    return napi_create_buffer_copy(env, len, len > 0 ? data : "", NULL, &copy) == napi_ok ? copy : too_long(env);
}

napi_value make_number(napi_env env, double value) {
    napi_value number = NULL;
    napi_create_double(env, value, &number);
    return number;
}

napi_value make_bool(napi_env env, bool value) {
    napi_value boolean = NULL;
    napi_get_boolean(env, value, &boolean);
    return boolean;
}

napi_value make_undefined(napi_env env) {
    napi_value undefined = NULL;
    napi_get_undefined(env, &undefined);
    return undefined;
}

napi_value make_array(napi_env env, size_t count, const napi_value *items) {
    napi_value array = NULL;
    if (napi_create_array_with_length(env, count, &array) != napi_ok) return NULL;
    for (size_t at = 0; at < count; at++) {
        if (items[at] == NULL || napi_set_element(env, array, at, items[at]) != napi_ok) return NULL;
    }
    return array;
}

napi_value make_error(napi_env env, const st_error *error) {
    napi_value class, made = NULL, arguments[6];
    const char *name = st_status_name(error->status);
    /* An error without a message is described by its status. */
    const char *message = error->message[0] ? error->message : name;
    arguments[0] = make_number(env, error->status);
    napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &arguments[1]);
    napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[2]);
    arguments[3] = make_number(env, error->source);
    arguments[4] = make_number(env, error->detail);
    arguments[5] = make_bool(env, error->flags & ST_ERROR_RETRYABLE);
    if (napi_get_reference_value(env, environment_of(env)->error_class, &class) == napi_ok) {
        napi_new_instance(env, class, 6, arguments, &made);
    }
    return made;
}

napi_value throw_error(napi_env env, const st_error *error) {
    napi_value made = make_error(env, error);
    if (made != NULL) napi_throw(env, made);
    return NULL;
}
