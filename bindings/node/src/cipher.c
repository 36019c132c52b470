/* Ciphers: encryption of credentials. */
#include "addon.h"

OPENS(open, st_cipher, CIPHER, st_cipher_open)

static st_status reset(call *call) {
    return with_config(call, st_cipher_reset);
}

static st_status encrypt(call *call) {
    return st_encrypt(HANDLE(call, 0, cipher), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status decrypt(call *call) {
    return st_decrypt(HANDLE(call, 0, cipher), TEXT(call, 0), &call->bytes, &call->error);
}

static st_status reencrypt(call *call) {
    return st_reencrypt(HANDLE(call, 0, cipher), TEXT(call, 0), &call->bytes, &call->flag, &call->error);
}

/* [token, whether it changed] */
static napi_value reencrypt_result(napi_env env, call *call) {
    const napi_value items[] = {text_result(env, call), flag_result(env, call)};
    return make_array(env, 2, items);
}

static st_status rotate(call *call) {
    return st_rotate_key(HANDLE(call, 0, cipher), &call->error);
}

bool define_cipher(napi_env env, napi_value exports) {
    static const operation operations[] = {
        {"cipherOpen", "o", "config", open, handle_result, LOCAL},
        {"cipherReset", "o", "config", reset, nothing_result, QUICK},
        {"encrypt", "Cv", "cipher plaintext", encrypt, text_result, LOCAL},
        {"decrypt", "Cs", "cipher token", decrypt, secret_result, LOCAL},
        {"reencrypt", "Cs", "cipher token", reencrypt, reencrypt_result, LOCAL},
        {"rotateKey", "C", "cipher", rotate, nothing_result, LOCAL},
    };
    return define_operations(env, exports, operations, sizeof operations / sizeof *operations);
}
