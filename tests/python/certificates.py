"""Creates certificates for tests of TLS. usage: certificates.py DIRECTORY [NAME…]

Writes, as PEM, ca.pem and other-ca.pem (which signed none of the others), and with a .key each: server (127.0.0.1,
localhost and the given names), elsewhere (elsewhere.test only), expired (as server, until yesterday), client and
stranger (client certificates), nameless (a client certificate without a common name), and member (as server, and a
client certificate too, for a member of etcd).
"""

import datetime
import ipaddress
import os
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DIRECTORY = sys.argv[1]
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def write(file, data):
    with open(os.path.join(DIRECTORY, file), "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(data)


def certificate(subject, issuer, signer, until=NOW + 30 * DAY, names=(), usage=()):
    """Signed by `signer`, or self-signed if that is None."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
    if signer:
        issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(issued_by, critical=False)
    return key, builder.sign(signer or key, hashes.SHA256()).public_bytes(form.Encoding.PEM)


def pair(file, subject, **rest):
    key, pem = certificate(subject, "ca of the tests", CA_KEY, **rest)
    write(f"{file}.pem", pem)
    write(f"{file}.key", key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))


CA_KEY, CA = certificate("ca of the tests", "ca of the tests", None)
write("ca.pem", CA)
write("other-ca.pem", certificate("another ca", "another ca", None)[1])
HERE = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
HERE += [x509.DNSName(given) for given in sys.argv[2:]]
SERVER, CLIENT = [ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]
pair("server", "server", names=HERE, usage=SERVER)
pair("elsewhere", "elsewhere", names=[x509.DNSName("elsewhere.test")], usage=SERVER)
pair("expired", "expired", names=HERE, usage=SERVER, until=NOW - DAY)
for client in ("client", "stranger"):
    pair(client, client, usage=CLIENT)
pair("nameless", "", usage=CLIENT)
pair("member", "member", names=HERE, usage=SERVER + CLIENT)
