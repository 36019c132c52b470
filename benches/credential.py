"""Compares encryption and decryption with Python's `cryptography`, used as SimpleTuner uses it, and key derivation with
`hashlib`. usage: credential.py PROGRAM
"""

import base64
import hashlib
import statistics
import subprocess
import sys
import time

from cryptography.fernet import Fernet

ROUNDS = 15


def derive():
    salt = b"simpletuner-credential-encryption-v1"
    return hashlib.pbkdf2_hmac("sha256", b"a secret for measuring", salt, 100_000, 32)


FERNET = Fernet(base64.urlsafe_b64encode(derive()))


def encrypt_credential(plaintext):
    return base64.urlsafe_b64encode(FERNET.encrypt(plaintext.encode())).decode()


def decrypt_credential(token):
    return FERNET.decrypt(base64.urlsafe_b64decode(token.encode())).decode()


def median(call, calls):
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter_ns() - start) / calls)
    return statistics.median(rounds)


def rows(tokens):
    for token in tokens:
        decrypt_credential(token)


def python():
    times = {}
    for size, calls in ((40, 1000), (4096, 300)):
        plain = "x" * size
        token = encrypt_credential(plain)
        times[f"encrypt_{size}"] = median(lambda: encrypt_credential(plain), calls)
        times[f"decrypt_{size}"] = median(lambda: decrypt_credential(token), calls)
        times[f"decrypt_bytes_{size}"] = times[f"decrypt_{size}"]
    tokens = [encrypt_credential(f"{row:040d}") for row in range(10_000)]
    start = time.perf_counter_ns()
    rows(tokens)
    times["rows"] = time.perf_counter_ns() - start
    times["derive"] = median(derive, 1)
    return times


NAMES = {
    "encrypt_40": "encrypt 40 B",
    "decrypt_40": "decrypt 40 B",
    "decrypt_bytes_40": "decrypt 40 B, as st_bytes",
    "encrypt_4096": "encrypt 4 KiB",
    "decrypt_4096": "decrypt 4 KiB",
    "decrypt_bytes_4096": "decrypt 4 KiB, as st_bytes",
    "rows": "decrypt 10 000 rows of 40 B",
    "derive": "first use: derive the key",
}

ours = dict(line.split() for line in subprocess.check_output([sys.argv[1]], text=True).splitlines())
theirs = python()
for name, text in NAMES.items():
    own, other = float(ours[name]) / 1000, theirs[name] / 1000
    print(f"{text:<44} {own:10.2f} us   Python {other:10.2f} us   {other / own:6.1f} x")
