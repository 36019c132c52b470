"""The format of stored credentials in Python: Fernet as specified, built from primitives of `cryptography` and the
standard library, and `cryptography.fernet` for comparison.

Reads commands from standard input and writes responses to standard output, one JSON object per line:
  {"do": "encrypt", "by": "reference" | "cryptography", "secret": text, "plain": hex, "iv": hex?, "time": seconds?}
  {"do": "decrypt", "by": …, "secret": text, "token": text}  ->  {"plain": hex} or {"plain": null}
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SALT = b"simpletuner-credential-encryption-v1"
KEYS = {}


def derive(secret):
    if secret not in KEYS:
        KEYS[secret] = hashlib.pbkdf2_hmac("sha256", secret.encode("utf-8"), SALT, 100_000, 32)
    return KEYS[secret]


def reference_encrypt(key, plain, iv=None, now=None):
    signing, encryption = key[:16], key[16:]
    iv = os.urandom(16) if iv is None else iv
    now = int(time.time()) if now is None else now
    fill = 16 - len(plain) % 16
    aes = Cipher(algorithms.AES(encryption), modes.CBC(iv)).encryptor()
    head = b"\x80" + now.to_bytes(8, "big") + iv
    body = head + aes.update(plain + bytes([fill]) * fill) + aes.finalize()
    return base64.urlsafe_b64encode(body + hmac.new(signing, body, hashlib.sha256).digest())


def reference_decrypt(key, token):
    signing, encryption = key[:16], key[16:]
    try:
        data = base64.urlsafe_b64decode(token)
    except ValueError:
        return None
    if len(data) < 73 or data[0] != 0x80 or (len(data) - 57) % 16:
        return None
    if not hmac.compare_digest(hmac.new(signing, data[:-32], hashlib.sha256).digest(), data[-32:]):
        return None
    aes = Cipher(algorithms.AES(encryption), modes.CBC(data[9:25])).decryptor()
    padded = aes.update(data[25:-32]) + aes.finalize()
    fill = padded[-1]
    if not 1 <= fill <= 16 or padded[-fill:] != bytes([fill]) * fill:
        return None
    return padded[:-fill]


def encrypt(request):
    key, plain = derive(request["secret"]), bytes.fromhex(request["plain"])
    if request["by"] == "cryptography":
        token = Fernet(base64.urlsafe_b64encode(key)).encrypt(plain)
    else:
        iv = bytes.fromhex(request["iv"]) if "iv" in request else None
        token = reference_encrypt(key, plain, iv, request.get("time"))
    return base64.urlsafe_b64encode(token).decode("ascii")


def decrypt(request):
    key = derive(request["secret"])
    try:
        token = base64.urlsafe_b64decode(request["token"].encode("utf-8"))
    except ValueError:
        return None
    if request["by"] != "cryptography":
        return reference_decrypt(key, token)
    try:
        return Fernet(base64.urlsafe_b64encode(key)).decrypt(token)
    except InvalidToken:
        return None


def check_vectors(directory):
    """Checks the reference itself with the vectors of the specification."""
    for vector in json.load(open(os.path.join(directory, "generate.json"), encoding="utf-8")):
        key = base64.urlsafe_b64decode(vector["secret"])
        now = 499162800
        assert reference_encrypt(key, vector["src"].encode(), bytes(vector["iv"]), now).decode() == vector["token"]
        assert reference_decrypt(key, vector["token"].encode()) == vector["src"].encode()


def main():
    check_vectors(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "encrypt":
            answer = {"token": encrypt(request)}
        else:
            plain = decrypt(request)
            answer = {"plain": None if plain is None else plain.hex()}
        print(json.dumps(answer), flush=True)


main()
