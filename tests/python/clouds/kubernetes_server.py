"""The part of the Kubernetes API that reads Secrets, as its public documents describe it: get, and list by label with
pages. Tokens and client certificates are checked, and each has rights of its own, as with RBAC.

usage: kubernetes_server.py DIRECTORY
Writes the tokens to files in the directory: `reader`, `stranger`, `expired`, and the random values of the Secret `core`
to `core.json`. The same server listens with TLS too: its port is in `tls_port`, its authority in `ca.pem`, and
`kubeconfig-KIND` are kubeconfig files for it: one for each way to log in. Prints `port N.` when it listens.
"""

import base64
import datetime
import ipaddress
import json
import secrets
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Who else must be named with the user `reader` where a token acts as it.
IMPERSONATION = {
    "Impersonate-Uid": ["7"],
    "Impersonate-Group": ["ml", "readers"],
    "Impersonate-Extra-example.com%2Fscopes": ["view", "list"],
}
TOKENS = {name: f"CANARY-token-of-{name}-0123456789" for name in ("reader", "stranger", "expired")}
# (namespace, name) -> (labels, values, version)
SECRETS: dict[tuple[str, str], tuple[dict[str, str], dict[str, bytes], str]] = {}


def status(code: int, reason: str, message: str, name: str = "") -> tuple[int, dict]:
    details = {"name": name, "kind": "secrets"} if name else {}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return code, body | {"reason": reason, "details": details, "code": code}


def secret(namespace: str, name: str) -> dict:
    labels, values, version = SECRETS[namespace, name]
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": version, "labels": labels},
        "data": {key: base64.b64encode(value).decode() for key, value in values.items()},
        "type": "Opaque",
    }


def matches(labels: dict[str, str], selector: str) -> bool:
    return all(labels.get(name) == value for name, value in (part.split("=", 1) for part in selector.split(",")))


def listed(namespace: str, query: dict[str, list[str]]) -> tuple[int, dict]:
    selector, start = query.get("labelSelector", [""])[0], query.get("continue", ["0"])[0]
    # Small pages, whatever the client asks for: it must follow them.
    limit = min(int(query.get("limit", ["500"])[0]), 2)
    names = sorted(name for place, name in SECRETS if place == namespace)
    names = [name for name in names if not selector or matches(SECRETS[namespace, name][0], selector)]
    page, rest = names[int(start) :][:limit], names[int(start) + limit :]
    metadata = {"resourceVersion": "900"} | ({"continue": str(int(start) + limit)} if rest else {})
    # As in the real API, the elements of a list have no kind of their own.
    items = [{k: v for k, v in secret(namespace, name).items() if k not in ("kind", "apiVersion")} for name in page]
    return 200, {"kind": "SecretList", "apiVersion": "v1", "metadata": metadata, "items": items}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> tuple[int, dict]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        user = next((name for name, known in TOKENS.items() if known == token), None)
        if user is None and isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert():
            subject = dict(pair for part in self.connection.getpeercert()["subject"] for pair in part)
            user = subject["commonName"]
        if user in (None, "expired"):
            return status(401, "Unauthorized", "Unauthorized")
        if acts_as := self.headers.get("Impersonate-User"):
            is_whole = all(self.headers.get_all(name) == values for name, values in IMPERSONATION.items())
            user = acts_as if is_whole else "incomplete"
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts[:3] != ["api", "v1", "namespaces"] or len(parts) not in (5, 6) or parts[4] != "secrets":
            return status(404, "NotFound", "the server could not find the requested resource")
        namespace, name = parts[3], parts[5] if len(parts) == 6 else ""
        if user != "reader" or namespace not in ("ml", "other"):
            who = f"system:serviceaccount:ml:{user}"
            what = f'secrets is forbidden: User "{who}" cannot read resource "secrets" in the namespace "{namespace}"'
            return status(403, "Forbidden", what, name or "secrets")
        if not name:
            return listed(namespace, parse_qs(url.query))
        if (namespace, name) not in SECRETS:
            return status(404, "NotFound", f'secrets "{name}" not found', name)
        return 200, secret(namespace, name)

    def do_GET(self) -> None:
        code, body = self.answer()
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def write_certificates(directory: Path) -> None:
    """An authority, and certificates of the server and of the user `reader`."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    for name in ("ca", "server", "reader"):
        key = authority if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        subject = issuer if name == "ca" else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        built = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name == "server":
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            built = built.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificate = built.sign(authority, hashes.SHA256())
        none = serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (directory / f"{name}.key").write_bytes(pem)


def start_tls(directory: Path) -> int:
    write_certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    context.load_verify_locations(directory / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def write_kubeconfigs(directory: Path, port: int) -> None:
    (directory / "tls_port").write_text(str(port))
    # The official client does not accept a line break at the end.
    (directory / "reader.token").write_text(TOKENS["reader"])

    def data(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    def program(name: str, version: str, status: dict) -> dict:
        """A program that prints this if its variables are right, and counts its runs."""
        version = f"client.authentication.k8s.io/{version}"
        (directory / f"{name}.json").write_text(
            json.dumps({"kind": "ExecCredential", "apiVersion": version, "status": status})
        )
        script = directory / name
        script.write_text(
            f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" | grep -q \'"{version}"\' || exit 3\n'
            f'[ "$1 $OF_FILE" = "two words yes" ] || exit 4\n'
            f'echo "$KUBERNETES_EXEC_INFO" >>"{directory}/{name}.runs"\ncat "{directory}/{name}.json"\n'
        )
        script.chmod(0o700)
        variables = [{"name": "OF_FILE", "value": "yes"}]
        options = {"interactiveMode": "IfAvailable", "provideClusterInfo": True}
        return {"apiVersion": version, "command": f"./{name}", "args": ["two words"], "env": variables} | options

    pem = {name: (directory / f"reader.{end}").read_text() for name, end in (("certificate", "pem"), ("key", "key"))}
    token = {"token": TOKENS["reader"], "expirationTimestamp": "2099-01-01T00:00:00Z"}
    pair = {"clientCertificateData": pem["certificate"], "clientKeyData": pem["key"]}
    users = {
        "token": {"token": TOKENS["reader"]},
        "token_file": {"tokenFile": "reader.token"},
        "certificate": {"client-certificate": "reader.pem", "client-key": "reader.key"},
        # Base64 may have line breaks.
        "certificate_data": {
            f"client-{name}-data": base64.encodebytes(text.encode()).decode() for name, text in pem.items()
        },
        "exec": {"exec": program("exec", "v1", token)},
        "exec_beta": {"exec": program("exec_beta", "v1beta1", token)},
        "exec_certificate": {"exec": program("exec_certificate", "v1", pair)},
        "stranger": {"token": TOKENS["stranger"]},
        "expired": {"token": TOKENS["expired"]},
    }
    url = f"https://127.0.0.1:{port}"
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "ml"}}]
    clusters = {
        "by_file": {"server": url, "certificate-authority": "ca.pem", "extensions": extensions},
        "by_data": {"server": url, "certificate-authority-data": data("ca.pem")},
    }
    contexts = {
        user: {"cluster": "by_file" if user == "certificate" else "by_data", "user": user, "namespace": "ml"}
        for user in users
    }
    for current in users:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "preferences": {},
            "current-context": current,
            "clusters": [{"name": name, "cluster": cluster} for name, cluster in clusters.items()],
            "contexts": [{"name": name, "context": context} for name, context in contexts.items()],
            "users": [{"name": name, "user": user} for name, user in users.items()],
        }
        (directory / f"kubeconfig-{current}").write_text(yaml.safe_dump(config))


def main() -> None:
    for name, token in TOKENS.items():
        (Path(sys.argv[1]) / name).write_text(f"{token}\n")
    SECRETS["ml", "train"] = {}, {"HF_TOKEN": b"CANARY-hf", "NAME": "Zoë".encode(), "bytes": bytes(range(256))}, "101"
    SECRETS["ml", "more"] = {}, {"HF_TOKEN": b"CANARY-other", "MORE": b"CANARY-more"}, "102"
    SECRETS["ml", "empty"] = {}, {}, "103"
    SECRETS["other", "train"] = {}, {"HF_TOKEN": b"CANARY-elsewhere"}, "104"
    for number in range(5):
        labels = {"app": "train", "odd": str(number % 2)}
        SECRETS["ml", f"page-{number}"] = labels, {f"PAGE_{number}": f"CANARY-{number}".encode()}, str(200 + number)
    core = {name: secrets.token_hex(24) for name in ("AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED")}
    (Path(sys.argv[1]) / "core.json").write_text(json.dumps(core))
    SECRETS["ml", "core"] = {}, {name: value.encode() for name, value in core.items()}, "300"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    write_kubeconfigs(Path(sys.argv[1]), start_tls(Path(sys.argv[1])))
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
