"""Opens and seals the files of the host share, from the documentation of the format alone.

It answers requests, one JSON object per line:
{"do": "open", "file": path, "material": hex, "identity": [[name, value], …]} -> {"id": …, "header": …, "entries": hex}
{"do": "seal", "file": path, "material": hex, "identity": …, "header": …, "entries": hex} -> {}
"""

import hashlib
import json
import os
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEADER = struct.Struct("<8sQQQQ16s32s12sI")


def identity_list(parts):
    texts = [text.encode() for pair in parts for text in pair]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def cipher(request, salt):
    info = b"st-secrets share 1" + identity_list(request["identity"])
    return AESGCM(HKDF(SHA256(), 32, salt, info).derive(bytes.fromhex(request["material"])))


def open_file(request):
    with open(request["file"], "rb") as file:
        text = file.read()
    fields = HEADER.unpack_from(text)
    magic, revision, requested_at, ttl, refresh_after, boot, salt, nonce, length = fields
    sealed = text[HEADER.size :]
    assert len(sealed) == length + 16, "the length is wrong"
    entries = cipher(request, salt).decrypt(nonce, sealed, text[: HEADER.size])
    header = [magic.decode(), revision, requested_at, ttl, refresh_after, boot.hex()]
    list_id = hashlib.sha256(identity_list(request["identity"])).hexdigest()[:32]
    return {"id": list_id, "header": header, "entries": entries.hex()}


def seal_file(request):
    magic, revision, requested_at, ttl, refresh_after, boot = request["header"]
    salt, nonce, entries = os.urandom(32), os.urandom(12), bytes.fromhex(request["entries"])
    fields = (magic.encode(), revision, requested_at, ttl, refresh_after, bytes.fromhex(boot), salt, nonce)
    header = HEADER.pack(*fields, len(entries))
    with open(request["file"], "wb") as file:
        file.write(header + cipher(request, salt).encrypt(nonce, entries, header))
    return {}


for line in sys.stdin:
    request = json.loads(line)
    answer = {"open": open_file, "seal": seal_file}[request["do"]](request)
    print(json.dumps(answer), flush=True)
