"""Azure Key Vault 7.4, the login server of Microsoft Entra ID and both services of managed identities, as far as their
public REST documents describe them.

Client secrets, signed assertions, audiences and lifetimes of tokens are checked. A certificate, the token of another
provider, and the directory `cli` of the Azure CLI are written to the directory that is given, and to `core.json` the
value of the secret `core`, which is random.

usage: azure_server.py DIRECTORY
Prints `port N.` when it listens.
"""

import datetime
import hashlib
import json
import re
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import jwt
import msal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
READER, STRANGER = "11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"
SECRET = "CANARY-client-secret~0001"
CLI_CLIENT, USER = "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "22222222-aaaa-4bbb-8ccc-000000000001"
REFRESH = "CANARY-refresh-token-of-the-cli"
IDENTITY_HEADER = "CANARY-identity-header-1"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ISSUER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CERTIFICATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TOKENS = {}
SECRETS = {}


def certificate():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "reader")])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(name, name, CERTIFICATE_KEY.public_key(), x509.random_serial_number())
    built = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return built.sign(CERTIFICATE_KEY, hashes.SHA256())


CERTIFICATE = certificate()


def issue(principal, resource, seconds=3600):
    token = "CANARY-access-" + uuid4().hex
    TOKENS[token] = (principal, resource, time.time() + seconds)
    return token


def put(name, values, enabled=True, tags=None):
    versions = [(hashlib.md5(f"{name}{number}".encode()).hexdigest(), value) for number, value in enumerate(values)]
    SECRETS[name] = {"versions": versions, "enabled": enabled, "tags": tags or {}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=()):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("Content-Type", "application/json; charset=utf-8"), *headers]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code, message, inner=None):
        error = {"code": code, "message": message}
        if inner:
            error["innererror"] = {"code": inner}
        self.reply(status, {"error": error})

    def resource(self):
        """The domain that the vault belongs to: its own, or the one above."""
        host = self.headers["Host"]
        is_name = host.split(":")[0].endswith(".vault.azure.net")
        return "https://vault.azure.net" if is_name else f"http://{host.split(':')[0]}"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {key: value[0] for key, value in parse_qs(body).items()}
        match = re.fullmatch(r"/([^/]+)/oauth2/v2\.0/token", urlsplit(self.path).path)
        if not match or match[1] != TENANT:
            message = "AADSTS90002: Tenant 'x' not found. Trace ID: 1"
            return self.reply(400, {"error": "invalid_request", "error_description": message})
        client = form.get("client_id")
        scope = next((scope for scope in form.get("scope", "").split() if scope.endswith("/.default")), None)
        if form.get("grant_type") == "refresh_token" and scope:
            return self.refresh(form, scope)
        if form.get("grant_type") != "client_credentials" or not scope:
            return self.reply(400, {"error": "invalid_request", "error_description": "AADSTS900144: bad body."})
        if client not in (READER, STRANGER) or not self.is_client(form, client):
            message = f"AADSTS7000215: Invalid client secret provided for {client}. Trace ID: 2 Correlation ID: 3"
            return self.reply(401, {"error": "invalid_client", "error_description": message})
        token = issue(client, scope.removesuffix("/.default"))
        self.reply(200, {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})

    def refresh(self, form, scope):
        """A token of the user of the Azure CLI."""
        if form.get("client_id") != CLI_CLIENT or form.get("refresh_token") != REFRESH:
            message = "AADSTS70043: The refresh token has expired. Trace ID: 4"
            return self.reply(400, {"error": "invalid_grant", "error_description": message})
        token = issue(READER, scope.removesuffix("/.default"))
        self.reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": token, "scope": scope})

    def is_client(self, form, client):
        if "client_secret" in form:
            return form["client_secret"] == SECRET
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return False
        assertion = form["client_assertion"]
        try:
            header = jwt.get_unverified_header(assertion)
            if "x5t#S256" in header or "x5t" in header:
                name, digest = ("x5t#S256", hashes.SHA256()) if "x5t#S256" in header else ("x5t", hashes.SHA1())
                thumbprint = urlsafe_b64encode(CERTIFICATE.fingerprint(digest)).decode().rstrip("=")
                audience = re.compile(rf"https?://[^/]+/{TENANT}/oauth2/v2\.0/token")
                claims = jwt.decode(
                    assertion,
                    CERTIFICATE_KEY.public_key(),
                    algorithms=["PS256", "RS256"],
                    options={"verify_aud": False, "require": ["exp", "jti"]},
                )
                right = header[name].rstrip("=") == thumbprint and audience.fullmatch(claims["aud"])
                return right and claims["iss"] == claims["sub"] == client
            claims = jwt.decode(
                assertion, ISSUER_KEY.public_key(), algorithms=["RS256"], audience="api://AzureADTokenExchange"
            )
            return claims["sub"] == "system:serviceaccount:train:reader"
        except jwt.PyJWTError:
            return False

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if url.path.startswith("/metadata/identity/oauth2/token"):
            right = self.headers.get("Metadata") == "true" and query.get("api-version") == "2018-02-01"
            return self.managed(right, query, {"expires_in": "3600"})
        if url.path == "/msi/token":
            right = self.headers.get("X-IDENTITY-HEADER") == IDENTITY_HEADER and query["api-version"] == "2019-08-01"
            return self.managed(right, query, {"expires_on": str(int(time.time()) + 3600)})
        if "/.well-known/" in url.path or url.path.startswith("/common/discovery"):
            return self.discovery()
        return self.vault(url, query)

    def discovery(self):
        """What Microsoft's client wants to know of a login server."""
        base = f"https://{self.headers['Host']}/{TENANT}"
        self.reply(
            200,
            {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "metadata": [],
            },
        )

    def managed(self, right, query, lifetime):
        if not right or query.get("client_id", READER) not in (READER, STRANGER):
            description = "Identity not found"
            return self.reply(400, {"error": "invalid_request", "error_description": description})
        token = issue(query.get("client_id", READER), query["resource"].rstrip("/"))
        self.reply(200, {"access_token": token, "resource": query["resource"], "token_type": "Bearer", **lifetime})

    def vault(self, url, query):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        principal, resource, end = TOKENS.get(token, (None, None, 0))
        if kind != "Bearer" or principal is None or time.time() > end or resource != self.resource():
            challenge = (
                f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="{self.resource()}"'
            )
            message = "AKV10000: Request is missing a Bearer or PoP token."
            error = {"error": {"code": "Unauthorized", "message": message}}
            return self.reply(401, error, [("WWW-Authenticate", challenge)])
        if not re.fullmatch(r"7\.\d|20\d\d-\d\d-\d\d", query.get("api-version", "")):
            return self.error(400, "BadParameter", "api-version must be specified")
        match = re.fullmatch(r"/secrets(?:/([^/]+)(?:/([^/]*))?)?/?", url.path)
        if not match:
            return self.error(404, "NotFound", "no such path")
        name, version = match.groups()
        if principal != READER or name == "denied":
            message = f"Caller is not authorized to perform action on resource. Caller: appid={principal}"
            return self.error(403, "Forbidden", message, "ForbiddenByRbac")
        if name == "firewalled":
            return self.error(403, "Forbidden", "Client address is not authorized.", "ForbiddenByFirewall")
        return self.list(query) if name is None else self.get(name, version)

    def base(self):
        host = self.headers["Host"]
        return f"https://{host}" if host.endswith(".vault.azure.net") else f"http://{host}"

    def list(self, query):
        start = int(query.get("$skiptoken", "0"))
        names = sorted(SECRETS)
        page = [
            {
                "id": f"{self.base()}/secrets/{name}",
                "attributes": {"enabled": SECRETS[name]["enabled"]},
                "tags": SECRETS[name]["tags"],
            }
            for name in names[start : start + 3]
        ]
        rest = start + 3 < len(names)
        link = f"{self.base()}/secrets?api-version={query['api-version']}&$skiptoken={start + 3}" if rest else None
        self.reply(200, {"value": page, "nextLink": link})

    def get(self, name, version):
        name = next((own for own in SECRETS if own.lower() == name.lower()), name)
        secret = SECRETS.get(name)
        versions = dict(secret["versions"]) if secret else {}
        version = version or next(reversed(versions), "")
        if version not in versions:
            message = f"A secret with (name/id) {name} was not found in this key vault."
            return self.error(404, "SecretNotFound", message)
        if not secret["enabled"]:
            message = "Operation get is not allowed on a disabled secret."
            return self.error(403, "Forbidden", message, "SecretDisabled")
        identifier = f"{self.base()}/secrets/{name}/{version}"
        attributes = {"enabled": True, "created": 1, "updated": 1}
        self.reply(200, {"value": versions[version], "id": identifier, "attributes": attributes, "tags": {}})


def log_in_to_cli(directory, refresh_token):
    """Writes what `az login` does: the cache by Microsoft's own library, and the profile."""
    directory.mkdir()
    encoded = [
        urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({}, {"oid": USER, "preferred_username": "user@example.com"})
    ]
    identifiers = urlsafe_b64encode(json.dumps({"uid": USER, "utid": TENANT}).encode()).decode()
    cache = msal.SerializableTokenCache()
    response = {
        "access_token": "CANARY-access-of-management-only",
        "expires_in": 3600,
        "refresh_token": refresh_token,
        "foci": "1",
        "id_token": ".".join([*encoded, ""]),
        "client_info": identifiers,
    }
    cache.add(
        {
            "client_id": CLI_CLIENT,
            "scope": ["https://management.core.windows.net//.default"],
            "token_endpoint": f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token",
            "environment": "login.microsoftonline.com",
            "response": response,
        }
    )
    (directory / "msal_token_cache.json").write_text(cache.serialize())
    user = {"name": "User@example.com", "type": "user"}
    own = {"id": str(uuid4()), "isDefault": True, "tenantId": TENANT, "user": user, "environmentName": "AzureCloud"}
    other = {**own, "id": str(uuid4()), "isDefault": False, "tenantId": str(uuid4())}
    profile = json.dumps({"installationId": "1", "subscriptions": [other, own]})
    (directory / "azureProfile.json").write_text(profile, encoding="utf-8-sig")


def main():
    directory = Path(sys.argv[1])
    log_in_to_cli(directory / "cli", REFRESH)
    log_in_to_cli(directory / "cli_expired", "CANARY-refresh-token-of-then")
    none = serialization.NoEncryption()
    pem = CERTIFICATE_KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
    public = CERTIFICATE.public_bytes(serialization.Encoding.PEM)
    (directory / "certificate.pem").write_bytes(pem + public)
    now = int(time.time())
    claims = {"sub": "system:serviceaccount:train:reader", "aud": "api://AzureADTokenExchange", "exp": now + 3600}
    (directory / "token").write_text(jwt.encode(claims, ISSUER_KEY, algorithm="RS256"))
    (directory / "bad_token").write_text(jwt.encode(claims, CERTIFICATE_KEY, algorithm="RS256"))
    put("db-password", ["CANARY-first-value", "CANARY-second \u00e9\nvalue"])
    put("HF-TOKEN", ["CANARY-hf"])
    put("app-prod", [json.dumps({"HF_TOKEN": "CANARY-in-object", "PORT": 8080})])
    put("off", ["CANARY-off"], enabled=False)
    put("denied", ["x"], tags={"group": "mixed"})
    put("mixed-1", ["CANARY-mixed"], tags={"group": "mixed"})
    for number in range(5):
        put(f"train-{number}", [f"CANARY-train-{number}"], tags={"app": "train", "odd": str(number % 2)})
    core = json.dumps({name: secrets.token_hex(24) for name in ("AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED")})
    (directory / "core.json").write_text(core)
    put("core", [core])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
