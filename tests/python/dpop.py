"""Makes keys of `aws login`, and checks the proofs that are signed with them. usage: dpop.py, with JSON as input

{"new": true} -> {"key": PEM}
{"key": PEM, "proof": text} -> {"header": …, "claims": …}; it fails if the signature, or the key in the header, is wrong
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


asked = json.load(sys.stdin)
if asked.get("new"):
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(encoding, form, serialization.NoEncryption())
    print(json.dumps({"key": key.decode()}))
    sys.exit()
key = serialization.load_pem_private_key(asked["key"].encode(), None).public_key()
header, claims, signature = asked["proof"].split(".")
raw = decode(signature)
assert len(raw) == 64
encoded = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
key.verify(encoded, f"{header}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
header, claims = json.loads(decode(header)), json.loads(decode(claims))
numbers = key.public_numbers()
assert [int.from_bytes(decode(header["jwk"][name]), "big") for name in "xy"] == [numbers.x, numbers.y]
print(json.dumps({"header": header, "claims": claims}))
