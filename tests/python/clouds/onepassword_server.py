"""The part of the API of 1Password Connect that reads vaults and items, as its public reference describes it: lists
with a filter by name, title or tag, and one item with its fields. Each token has vaults of its own.

usage: onepassword_server.py DIRECTORY
Writes the tokens to files in the directory: `reader`, `stranger`, `revoked`, and random values of the item `core` to
`core.json`. Prints `port N.` when it listens.
"""

import json
import re
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VAULTS = {
    "trainvault0000000000000000": "train",
    "othervault0000000000000000": "ML team",
    # A name with the form of an identifier.
    "namedvault0000000000000000": "abcdefghijklmnopqrstuvwxyz",
}
# The vaults that each token may read.
TOKENS = {"reader": set(VAULTS), "stranger": {"othervault0000000000000000"}}
# (vault, item) -> the item as it is returned
ITEMS: dict[tuple[str, str], dict] = {}


def token(name: str) -> str:
    return f"CANARY-token-of-{name}-0123456789"


def identifier(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower()).ljust(26, "0")


def put(vault: str, title: str, fields: list[dict], version: int = 1, **more: object) -> str:
    own = more.pop("id", identifier(title))
    sections = [{"id": section, "label": section.title()} for section in more.pop("sections", [])]
    item = {
        "id": own,
        "title": title,
        "vault": {"id": vault, "name": VAULTS[vault]},
        "category": "API_CREDENTIAL",
        "version": version,
        "createdAt": "2026-01-02T03:04:05Z",
        "updatedAt": "2026-01-02T03:04:05Z",
        "lastEditedBy": identifier("editor"),
        "sections": sections,
        "fields": fields,
    }
    ITEMS[vault, own] = item | more
    return own


def field(label: str, value: str | None, section: str | None = None, **more: str) -> dict:
    made: dict = {"id": more.pop("id", f"field-{label}-{section}"), "type": "CONCEALED", "label": label} | more
    # As in the real API, an empty field has no value.
    if value is not None:
        made["value"] = value
    if section:
        made["section"] = {"id": section}
    return made


def matches(query: dict[str, list[str]], attribute: str, name: str) -> bool:
    if "filter" not in query:
        return True
    match = re.fullmatch(r'(\w+) eq "(.*)"', query["filter"][0])
    return bool(match) and match[1] == attribute and match[2] == name


def error(status: int, message: str) -> tuple[int, dict]:
    return status, {"status": status, "message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> tuple[int, object]:
        given = self.headers.get("Authorization", "")
        user = next((name for name in TOKENS if given == f"Bearer {token(name)}"), None)
        if user is None:
            return error(401, "Invalid bearer token")
        url = urlsplit(self.path)
        query, parts = parse_qs(url.query), url.path.strip("/").split("/")
        if parts == ["v1", "vaults"]:
            own = {vault: name for vault, name in VAULTS.items() if vault in TOKENS[user]}
            return 200, [
                {"id": vault, "name": name, "contentVersion": 1, "attributeVersion": 1, "type": "USER_CREATED"}
                for vault, name in own.items()
                if matches(query, "name", name)
            ]
        if parts[:2] != ["v1", "vaults"] or len(parts) not in (4, 5) or parts[3] != "items":
            return error(404, "404 page not found")
        vault = parts[2]
        if vault not in TOKENS[user]:
            return error(403, f"vault {vault} is not in scope") if vault in VAULTS else error(404, "vault not found")
        if len(parts) == 4:
            items = [item for (place, _), item in ITEMS.items() if place == vault]
            # A list has no fields.
            summaries = [{k: v for k, v in item.items() if k not in ("fields", "sections")} for item in items]
            return 200, [item for item in summaries if matches(query, "title", item["title"])]
        if (vault, parts[4]) not in ITEMS:
            return error(404, f"item {parts[4]} not found")
        return 200, ITEMS[vault, parts[4]]

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
    for name in ("reader", "stranger", "revoked"):
        (Path(sys.argv[1]) / name).write_text(f"{token(name)}\n")
    train, other, named = VAULTS
    fields = [
        field("HF_TOKEN", "CANARY-hf"),
        field("password", "CANARY-password", id="password", purpose="PASSWORD"),
        field("password", "CANARY-admin", "admin"),
        field("name", 'Zo\u00eb\n"x"', type="STRING"),
        field("empty", None),
    ]
    put(train, "database (prod)", fields, 7, sections=["admin"], tags=["app"])
    put(train, "more", [field("HF_TOKEN", "CANARY-other"), field("MORE", "CANARY-more")], 2)
    put(train, "without fields", [])
    put(train, "twice", [field("a", "CANARY-1")], id=identifier("twice1"))
    put(train, "twice", [field("a", "CANARY-2")], id=identifier("twice2"))
    put(train, "archived", [field("a", "CANARY-archived")], state="ARCHIVED")
    # A title with the form of an identifier.
    put(train, "abcdefghijklmnopqrstuvwxyz", [field("a", "CANARY-title")], id=identifier("titled"))
    put(other, "database (prod)", [field("HF_TOKEN", "CANARY-elsewhere")], 3)
    put(named, "more", [field("a", "CANARY-named")])
    core = {name: secrets.token_hex(24) for name in ("AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED")}
    (Path(sys.argv[1]) / "core.json").write_text(json.dumps(core))
    put(train, "core", [field(name, value) for name, value in core.items()])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
