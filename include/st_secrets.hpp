/*
 * st_secrets for C++17 and later: the functions of st_secrets.h as types. Header-only; link the library as for C.
 *
 *     st::Bytes token = st::Secrets::process().get("HF_TOKEN");
 *     use(token.view());                                            // `token` is wiped when it is destroyed
 *
 * CONVENTIONS, in addition to those of st_secrets.h, which documents what each call does
 *
 * Failures. Each call that can fail has two forms: `get` throws an `st::Error`, `try_get` returns an `st::Result`. In a
 * program without exceptions (-fno-exceptions) the throwing form calls std::terminate instead: use the other one.
 * Compile all parts of a program with the same exception setting.
 *
 * Handles (`Secrets`, `Cache`, `Cipher`, `Store`, `Redactor`) are moved, not copied. The destructor or `close()` frees
 * them; `close()` may be called again. A call on a closed or moved-from handle fails with `Status::invalid_argument`.
 * `const` member functions may be called from any number of threads at once.
 *
 * Text and bytes are passed as std::string_view, times as any std::chrono duration.
 *
 * Callbacks of the program may throw; no exception crosses the library.
 */
#ifndef ST_SECRETS_HPP
#define ST_SECRETS_HPP

#include "st_secrets/error.hpp"

#include "st_secrets/bytes.hpp"
#include "st_secrets/cache.hpp"
#include "st_secrets/cached.hpp"
#include "st_secrets/callback.hpp"
#include "st_secrets/cipher.hpp"
#include "st_secrets/config.hpp"
#include "st_secrets/function_key.hpp"
#include "st_secrets/library.hpp"
#include "st_secrets/path.hpp"
#include "st_secrets/redactor.hpp"
#include "st_secrets/secrets.hpp"
#include "st_secrets/store.hpp"

#endif
