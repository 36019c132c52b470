"""Prints a JSON Web Token and the public key that verifies it. usage: jwt.py KEY_FILE SUBJECT AUDIENCE SECONDS

Creates KEY_FILE (Ed25519) if it does not exist, and prints {"public": PEM, "token": text}.
"""

import base64
import json
import os
import sys
import time

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def encode(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


path, subject, audience, seconds = sys.argv[1:]
if not os.path.exists(path):
    with open(path, "wb") as file:
        made = Ed25519PrivateKey.generate()
        file.write(made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
with open(path, "rb") as file:
    key = form.load_pem_private_key(file.read(), None)
now = int(time.time())
claims = {"iss": "tests", "sub": subject, "aud": audience, "iat": now, "nbf": now, "exp": now + int(seconds)}
signed = encode({"alg": "EdDSA", "typ": "JWT"}) + "." + encode(claims)
public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
print(json.dumps({"public": public.decode(), "token": signed + "." + encode(key.sign(signed.encode()))}))
