"""The part of the API of Infisical that logs in machine identities and reads secrets, as its public reference describes
it: all secrets at a path with the imports, and one. Tokens expire and can be revoked; each identity has environments
of its own.

usage: infisical_server.py DIRECTORY
Writes the client secrets of the identities to files in the directory: `reader`, `stranger`, and an access token of the
first one: `token`; and random values at the path `/core` to `core.json`. Prints `port N.` when it listens. POST
/test/revoke ends all tokens, POST /test/expire lets them expire, and POST /test/lifetime?seconds=N is that of new ones.
"""

import json
import re
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

PROJECT = "7e3c1f6e-0000-4000-8000-000000000001"
CLIENTS = {"client-reader": "reader", "client-stranger": "stranger"}
# token -> (identity, end)
TOKENS: dict[str, tuple[str, float]] = {}
# (environment, path) -> name -> (value, version, hidden)
PATHS: dict[tuple[str, str], dict[str, tuple[str, int, bool]]] = {}
# (environment, path) -> places that are imported there, in order
IMPORTS: dict[tuple[str, str], list[tuple[str, str]]] = {}
STATE = {"lifetime": 3600}


def client_secret(name: str) -> str:
    return f'CANARY-client-secret-of-{name}-"0123456789\\'


def jwt(method: str, name: str) -> str:
    """What the issuer of a method gives to an identity."""
    return f"CANARY-jwt.{method}.{name}"


def issue(name: str) -> str:
    token = f"CANARY-access-{uuid4().hex}"
    TOKENS[token] = name, time.time() + (STATE["lifetime"] or 1e9)
    return token


def error(status: int, name: str, message: object) -> tuple[int, dict]:
    return status, {"reqId": "req-1", "statusCode": status, "message": message, "error": name}


def shown(place: tuple[str, str], name: str) -> dict:
    value, version, hidden = PATHS[place][name]
    # A reference to another secret at the same path.
    value = re.sub(r"\$\{(\w+)\}", lambda match: PATHS[place][match[1]][0], value)
    return {
        "id": str(uuid4()),
        "_id": str(uuid4()),
        "workspace": PROJECT,
        "environment": place[0],
        "version": version,
        "type": "shared",
        "secretKey": name,
        "secretValue": "<hidden-by-infisical>" if hidden else value,
        "secretValueHidden": hidden,
        "secretComment": "",
        "createdAt": "2026-01-02T03:04:05.000Z",
        "updatedAt": "2026-01-02T03:04:05.000Z",
        "secretPath": place[1],
        "tags": [],
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        if url.path.startswith("/test/"):
            return self.reply(200, self.steer(url.path, parse_qs(url.query)))
        login = re.fullmatch(r"/api/v1/auth/(universal|kubernetes|oidc|jwt)-auth/login", url.path)
        if not login:
            return self.reply(*error(404, "Not Found", f"Route POST:{url.path} not found"))
        return self.reply(*self.log_in(login[1], body))

    def steer(self, path: str, query: dict[str, list[str]]) -> dict:
        if path == "/test/revoke":
            TOKENS.clear()
        elif path == "/test/expire":
            TOKENS.update({token: (name, 0) for token, (name, _) in TOKENS.items()})
        else:
            STATE["lifetime"] = int(query["seconds"][0])
        return {}

    def log_in(self, method: str, body: bytes) -> tuple[int, dict]:
        id_name, secret_name = ("clientId", "clientSecret") if method == "universal" else ("identityId", "jwt")
        try:
            given = json.loads(body)
            name, secret = CLIENTS.get(given[id_name]), given[secret_name]
        except (ValueError, KeyError, TypeError):
            return error(422, "ValidationFailure", [{"code": "invalid_type", "path": [id_name]}])
        if name is None or secret != (client_secret(name) if method == "universal" else jwt(method, name)):
            return error(401, "UnauthorizedError", "Invalid credentials")
        lifetime = STATE["lifetime"]
        return 200, {
            "accessToken": issue(name),
            "expiresIn": lifetime,
            "accessTokenMaxTTL": 2592000,
            "tokenType": "Bearer",
        }

    def do_GET(self) -> None:
        self.reply(*self.read())

    def read(self) -> tuple[int, dict]:
        url = urlsplit(self.path)
        match = re.fullmatch(r"/api/v3/secrets/raw(?:/([^/]+))?", url.path)
        if not match:
            return error(404, "Not Found", f"Route GET:{url.path} not found")
        name, end = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), (None, 0.0))
        if name is None:
            return error(401, "UnauthorizedError", "Failed to authenticate")
        if time.time() > end:
            return error(403, "TokenError", "Your token has expired. Please re-authenticate.")
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if query.get("workspaceId") != PROJECT:
            return error(404, "NotFound", f"Project with ID '{query.get('workspaceId')}' not found")
        if name != "reader" or query["environment"] == "forbidden":
            return error(403, "PermissionDenied", "You are not allowed to readValue on secrets")
        place = query["environment"], query.get("secretPath", "/")
        if place not in PATHS:
            return error(404, "NotFound", f"Path '{place[1]}' in environment '{place[0]}' not found")
        return self.one(place, unquote(match[1])) if match[1] else self.all(place, query)

    def one(self, place: tuple[str, str], name: str) -> tuple[int, dict]:
        # The last import takes precedence.
        places = [place, *reversed(IMPORTS.get(place, []))]
        found = next((each for each in places if name in PATHS[each]), None)
        if found is None:
            return error(404, "NotFound", f"Secret with name '{name}' not found")
        return 200, {"secret": shown(found, name)}

    def all(self, place: tuple[str, str], query: dict[str, str]) -> tuple[int, dict]:
        body: dict = {"secrets": [shown(place, name) for name in PATHS[place]]}
        if query.get("include_imports") == "true":
            body["imports"] = [
                {
                    "environment": environment,
                    "secretPath": path,
                    "folderId": str(uuid4()),
                    "secrets": [shown((environment, path), name) for name in PATHS[environment, path]],
                }
                for environment, path in IMPORTS.get(place, [])
            ]
        return 200, body

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    directory = Path(sys.argv[1])
    for name in CLIENTS.values():
        (directory / name).write_text(f"{client_secret(name)}\n")
    (directory / "token").write_text(issue("reader"))
    PATHS["prod", "/"] = {
        "HF_TOKEN": ("CANARY-hf", 3, False),
        "NAME": ('Zo\u00eb\n"x"', 1, False),
        "EMPTY": ("", 1, False),
        "URL": ("https://${HF_TOKEN}@host", 2, False),
        "a b&c": ("CANARY-odd-name", 1, False),
    }
    PATHS["prod", "/train"] = {"HF_TOKEN": ("CANARY-train", 5, False), "HIDDEN": ("CANARY-hidden", 1, True)}
    PATHS["prod", "/shared a"] = {"BOTH": ("CANARY-a", 1, False), "ONLY_A": ("CANARY-only-a", 1, False)}
    PATHS["prod", "/shared-b"] = {
        "BOTH": ("CANARY-b", 1, False),
        "HF_TOKEN": ("CANARY-not-this", 1, False),
        "HIDDEN": ("CANARY-nor-this", 1, False),
    }
    PATHS["prod", "/empty"] = {}
    PATHS["dev", "/"] = {"HF_TOKEN": ("CANARY-dev", 1, False)}
    IMPORTS["prod", "/train"] = [("prod", "/shared a"), ("prod", "/shared-b")]
    core = {name: secrets.token_hex(24) for name in ("AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED")}
    (directory / "core.json").write_text(json.dumps(core))
    PATHS["prod", "/core"] = {name: (value, 1, False) for name, value in core.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
