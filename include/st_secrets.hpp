/*
 * st_secrets for C++17 and later: the functions of st_secrets.h as types. Header-only; link the library as from C.
 *
 *     st::Bytes token = st::Secrets::process().get("HF_TOKEN");
 *     use(token.view());                                            // wiped when `token` goes
 *
 * CONVENTIONS, beside those of st_secrets.h, which says what each call does
 *
 * Failures. Each call that can fail comes in two forms: `get` throws an `st::Error`, `try_get` returns an `st::Result`.
 * In a program without exceptions (-fno-exceptions) a form that would throw calls std::terminate instead: use the other.
 * All parts of a program are to be compiled alike in this.
 *
 * Handles (`Secrets`, `Cache`, `Cipher`, `Store`) are moved, not copied, and freed by their destructor or `close()`, which
 * may be repeated. A call on a handle that was closed or moved from fails with `Status::invalid_argument`. Calls that are
 * `const` may be made from any number of threads at once.
 *
 * Text and bytes go in as std::string_view. Times are of any type of std::chrono.
 *
 * Functions of the program that the library calls may throw: no exception crosses the library.
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
#include "st_secrets/secrets.hpp"
#include "st_secrets/store.hpp"

#endif
