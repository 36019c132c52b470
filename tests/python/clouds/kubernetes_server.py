"""The part of the Kubernetes API that reads Secrets, as its public documents describe it: get, and list by label with
pages. Tokens are checked, and each has rights of its own, as with RBAC.

usage: kubernetes_server.py DIRECTORY
Writes the tokens to files in the directory: `reader`, `stranger`, `expired`, and the random values of the Secret `core`
to `core.json`. Prints `port N.` when it listens.
"""

import base64
import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

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
        if user in (None, "expired"):
            return status(401, "Unauthorized", "Unauthorized")
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
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
