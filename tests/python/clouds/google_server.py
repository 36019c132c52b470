"""Google Secret Manager, its token servers and its metadata server, as their public REST documents describe them.

Signatures, audiences, scopes and lifetimes of tokens are checked. The credential files of all kinds are written to the
directory that is given; a request needs the rights of the identity that its token stands for. The value of the secret
`core` is random, and written to `core.json`.

usage: google_server.py DIRECTORY
Prints `port N.` when it listens.
"""

import base64
import json
import re
import secrets
import sys
import time
from calendar import timegm
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import google_crc32c_plain
import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PROJECT, NUMBER = "train-1", "123456789012"
READER, STRANGER = "reader@train-1.iam.gserviceaccount.com", "stranger@train-1.iam.gserviceaccount.com"
AUDIENCE = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/pool/providers/ci"
FEDERATED = "principal://pool/subject/job-1"
USER = "user@example.com"
JWT_TYPE, AWS_TYPE = "urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:aws:token-type:aws4_request"
VERIFICATION_URL = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
AWS_KEY = Credentials("AKIDGOOGLE", "CANARY-aws-secret-key", "CANARY-aws-session-token")
MAY_READ = {READER, USER}
CLIENT, CLIENT_SECRET, REFRESH = "client.apps", "CANARY-client-secret-0001", "CANARY-refresh-token-0001"
SUBJECT_HEADER = "CANARY-subject-header-01"


class State:
    def __init__(self):
        self.keys = {}
        self.tokens = {}
        self.secrets = {}

    def key(self, identifier):
        if identifier not in self.keys:
            self.keys[identifier] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self.keys[identifier]

    def pem(self, identifier, pkcs1=False):
        form = serialization.PrivateFormat.TraditionalOpenSSL if pkcs1 else serialization.PrivateFormat.PKCS8
        none = serialization.NoEncryption()
        return self.key(identifier).private_bytes(serialization.Encoding.PEM, form, none).decode()

    def issue(self, principal, seconds=3600):
        token = "CANARY-access-" + uuid4().hex
        self.tokens[token] = (principal, time.time() + seconds)
        return {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}

    def principal(self, token):
        """The identity of a token; None if Google would not accept it."""
        if token in self.tokens:
            principal, end = self.tokens[token]
            return principal if time.time() < end else None
        try:
            identifier = jwt.get_unverified_header(token)["kid"]
            claims = jwt.decode(
                token,
                self.keys[identifier].public_key(),
                algorithms=["RS256"],
                options={"verify_aud": False, "require": ["exp", "iat", "iss", "sub"]},
            )
        except (jwt.PyJWTError, KeyError):
            return None
        right_scope = (
            SCOPE in claims.get("scope", "").split() or claims.get("aud") == "https://secretmanager.googleapis.com/"
        )
        own = claims["iss"] == claims["sub"] == identifier.removeprefix("key-of-")
        return claims["sub"] if own and right_scope and claims["exp"] - claims["iat"] <= 3600 else None

    def put(self, parent, name, values, labels=None, states=None):
        self.secrets[parent, name] = {"values": values, "labels": labels or {}, "states": states or {}, "aliases": {}}


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in [("Content-Type", "application/json; charset=UTF-8"), *headers]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, code, status, message, details=()):
        self.reply(code, {"error": {"code": code, "message": message, "status": status, "details": list(details)}})

    def caller(self):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return STATE.principal(token) if kind == "Bearer" else None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if path == "/token":
            return self.token({key: value[0] for key, value in parse_qs(body.decode()).items()})
        if path == "/v1/token":
            return self.exchange({key: value[0] for key, value in parse_qs(body.decode()).items()})
        match = re.fullmatch(r"/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken", path)
        if match:
            if self.caller() not in (FEDERATED, STRANGER):
                return self.error(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied.")
            asked = json.loads(body)
            assert asked["scope"] == [SCOPE], asked
            issued = STATE.issue(match[1], int(asked["lifetime"].removesuffix("s")))
            end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + issued["expires_in"]))
            return self.reply(200, {"accessToken": issued["access_token"], "expireTime": end})
        return self.error(404, "NOT_FOUND", "Method not found.")

    def token(self, form):
        refused = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        if form.get("grant_type") == "refresh_token":
            asked = (form["client_id"], form["client_secret"], form["refresh_token"])
            known = asked == (CLIENT, CLIENT_SECRET, REFRESH)
            return self.reply(200, STATE.issue(USER)) if known else self.reply(400, refused)
        try:
            identifier = jwt.get_unverified_header(form["assertion"])["kid"]
            audience = "https://oauth2.googleapis.com/token"
            claims = jwt.decode(
                form["assertion"], STATE.keys[identifier].public_key(), algorithms=["RS256"], audience=audience
            )
        except (jwt.PyJWTError, KeyError):
            return self.reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        return self.reply(200, STATE.issue(claims["iss"]))

    def exchange(self, form):
        try:
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
            assert form["audience"] == AUDIENCE and form["scope"] in (SCOPE, "https://www.googleapis.com/auth/iam")
            if form["subject_token_type"] == AWS_TYPE:
                return self.reply(200, STATE.issue("principal://pool/subject/" + aws_caller(form["subject_token"])))
            assert form["subject_token_type"] in (JWT_TYPE, "urn:ietf:params:oauth:token-type:id_token")
            claims = jwt.decode(
                form["subject_token"], STATE.key("issuer").public_key(), algorithms=["RS256"], audience=AUDIENCE
            )
        except (AssertionError, KeyError, ValueError, jwt.PyJWTError) as error:
            return self.reply(
                400, {"error": "invalid_grant", "error_description": f"The token is bad: {type(error).__name__}"}
            )
        return self.reply(200, STATE.issue("principal://pool/subject/" + claims["sub"]))

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        if url.path.startswith("/computeMetadata/v1") or url.path == "/":
            return self.metadata(url.path, query)
        if url.path == "/subject":
            right = self.headers.get("X-Secret") == SUBJECT_HEADER
            return self.reply(200, {"id_token": subject()}) if right else self.reply(403, {})
        caller = self.caller()
        if caller is None:
            return self.error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        match = re.fullmatch(
            r"/v1/(projects/[^/]+(?:/locations/[^/]+)?)/secrets(?:/([^/]+)/versions/([^/:]+):access)?", url.path
        )
        if not match:
            return self.error(404, "NOT_FOUND", "Method not found.")
        parent, name, version = match.groups()
        if parent.startswith("projects/off"):
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}
            return self.error(
                403, "PERMISSION_DENIED", "Secret Manager API has not been used in project off.", [reason]
            )
        parent = parent.replace(NUMBER, PROJECT)
        if caller not in MAY_READ or name == "denied":
            verb = "versions.access" if name else "secrets.list"
            message = f"Permission 'secretmanager.{verb}' denied for resource '{parent}' (or it may not exist)."
            return self.error(403, "PERMISSION_DENIED", message)
        if name is None:
            return self.list(parent, query)
        return self.access(parent, name, version)

    def metadata(self, path, query):
        if self.headers.get("Metadata-Flavor") != "Google":
            return self.reply(403, b"Missing required header")
        flavor = [("Metadata-Flavor", "Google")]
        known = {
            "/computeMetadata/v1/project/project-id": PROJECT.encode(),
            "/computeMetadata/v1/instance/service-accounts/default/": {
                "email": READER,
                "scopes": [SCOPE],
                "aliases": ["default"],
            },
            "/computeMetadata/v1/universe/universe-domain": b"googleapis.com",
            "/": b"",
        }
        if path.endswith("/token"):
            issued = STATE.issue(READER)
            return self.reply(200, issued, flavor)
        if path not in known:
            return self.reply(404, b"not found", flavor)
        return self.reply(200, known[path], flavor)

    def list(self, parent, query):
        conditions = [part.split("=") for part in query.get("filter", "").split(" AND ") if part]
        found = [
            {
                "name": f"{parent.replace(PROJECT, NUMBER)}/secrets/{name}",
                "labels": secret["labels"],
                "replication": {"automatic": {}},
            }
            for (own, name), secret in sorted(STATE.secrets.items())
            if own == parent
            and all(secret["labels"].get(label.removeprefix("labels.")) == value for label, value in conditions)
        ]
        # Pages are smaller than asked for, as they may be.
        start = int(query.get("pageToken", "p0").removeprefix("p"))
        page, rest = found[start : start + 2], found[start + 2 :]
        answer = {"secrets": page, "totalSize": len(found)} if page else {}
        if rest:
            answer["nextPageToken"] = f"p{start + 2}"
        return self.reply(200, answer)

    def access(self, parent, name, version):
        secret = STATE.secrets.get((parent, name))
        if secret is None:
            return self.error(404, "NOT_FOUND", f"Secret [{parent}/secrets/{name}] not found or has no versions.")
        number = {"latest": str(len(secret["values"])), "stable": "1"}.get(version, version)
        shown = f"{parent.replace(PROJECT, NUMBER)}/secrets/{name}/versions/{number}"
        if not number.isdigit() or not 1 <= int(number) <= len(secret["values"]):
            return self.error(404, "NOT_FOUND", f"Secret Version [{shown}] not found.")
        if number in secret["states"]:
            return self.error(
                400, "FAILED_PRECONDITION", f"Secret Version [{shown}] is in {secret['states'][number]} state."
            )
        value = secret["values"][int(number) - 1]
        checksum = google_crc32c_plain.checksum(value) + (1 if name == "damaged" else 0)
        data = base64.b64encode(value).decode()
        return self.reply(200, {"name": shown, "payload": {"data": data, "dataCrc32c": str(checksum)}})


def aws_caller(token):
    """Whose call of AWS this is; AWS's own code checks the signature."""
    call = json.loads(unquote(token))
    headers = {header["key"].lower(): header["value"] for header in call["headers"]}
    assert call["method"] == "POST" and headers["x-goog-cloud-target-resource"] == AUDIENCE
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d+)/([\w-]+)/sts/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w+)",
        headers["authorization"],
    )
    key, _, region, names, signature = match.groups()
    assert call["url"] == f"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    assert headers["host"] == f"sts.{region}.amazonaws.com" and headers.get("x-amz-security-token") == AWS_KEY.token
    assert key == AWS_KEY.access_key and {"host", "x-amz-date"} <= set(names.split(";"))
    signer = SigV4Auth(AWS_KEY, "sts", region)
    request = AWSRequest("POST", call["url"], headers={name: headers[name] for name in names.split(";")}, data=b"")
    request.context["timestamp"] = headers["x-amz-date"]
    assert abs(time.time() - timegm(time.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ"))) < 900
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    assert signer.signature(to_sign, request) == signature, "the signature does not match"
    return "job-1"


def subject():
    now = int(time.time())
    claims = {"iss": "https://ci", "sub": "job-1", "aud": AUDIENCE, "iat": now, "exp": now + 3600}
    return jwt.encode(claims, STATE.key("issuer"), algorithm="RS256")


def write_files(directory, base):
    def account(email, pkcs1=False):
        identifier = f"key-of-{email}"
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": identifier,
            "client_email": email,
            "private_key": STATE.pem(identifier, pkcs1),
            "client_id": "1",
            "token_uri": f"{base}/token",
            "universe_domain": "googleapis.com",
        }

    external = {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": JWT_TYPE,
        "token_url": f"{base}/v1/token",
        "service_account_impersonation_url": f"{base}/v1/projects/-/serviceAccounts/{READER}:generateAccessToken",
    }
    (directory / "subject").write_text(subject())
    # A program that counts its runs, and prints what the file `response` has.
    response = {"version": 1, "success": True, "token_type": JWT_TYPE, "id_token": subject()}
    (directory / "response").write_text(json.dumps(response | {"expiration_time": int(time.time()) + 3600}))
    program = directory / "program"
    program.write_text(
        f'#!/bin/sh\n[ "$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE" = "{AUDIENCE}" ] || exit 3\n'
        f'echo "$# for $GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL" >>"{directory}/runs"\ncat "{directory}/response"\n'
    )
    program.chmod(0o700)
    files = {
        "service_account": account(READER),
        "pkcs1": account(READER, True),
        "stranger": account(STRANGER),
        "foreign": {**account(READER), "private_key": STATE.pem("another key")},
        "user": {
            "type": "authorized_user",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH,
            "token_uri": f"{base}/token",
            "quota_project_id": PROJECT,
        },
        "revoked": {
            "type": "authorized_user",
            "client_id": CLIENT,
            "client_secret": CLIENT_SECRET,
            "refresh_token": "CANARY-revoked-000000001",
            "token_uri": f"{base}/token",
        },
        "external_file": {**external, "credential_source": {"file": str(directory / "subject")}},
        "external_url": {
            **external,
            "credential_source": {
                "url": f"{base}/subject",
                "headers": {"X-Secret": SUBJECT_HEADER},
                "format": {"type": "json", "subject_token_field_name": "id_token"},
            },
        },
        "impersonated": {
            "type": "impersonated_service_account",
            "source_credentials": account(STRANGER),
            "service_account_impersonation_url": external["service_account_impersonation_url"],
        },
        "external_executable": {
            **external,
            "credential_source": {"executable": {"command": f"{program} '1 2'", "timeout_millis": 5000}},
        },
        "external_output_file": {
            **external,
            "credential_source": {"executable": {"command": str(program), "output_file": str(directory / "output")}},
        },
        "external_aws": {
            **external,
            "subject_token_type": AWS_TYPE,
            "credential_source": {
                "environment_id": "aws1",
                "region_url": "http://169.254.169.254/latest/meta-data/placement/availability-zone",
                "url": "http://169.254.169.254/latest/meta-data/iam/security-credentials",
                "regional_cred_verification_url": VERIFICATION_URL,
            },
        },
        "external_bad": {**external, "credential_source": {"file": str(directory / "bad_subject")}},
    }
    (directory / "bad_subject").write_text(
        jwt.encode({"sub": "job-1", "aud": AUDIENCE}, STATE.key("another"), algorithm="RS256")
    )
    for name, contents in files.items():
        (directory / f"{name}.json").write_text(json.dumps(contents))


def main():
    directory = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    write_files(directory, base)
    here, there = f"projects/{PROJECT}", f"projects/{PROJECT}/locations/europe-west3"
    STATE.put(here, "db-password", [b"CANARY-first-value", b"CANARY-second-value"])
    STATE.put(here, "binary", [bytes(range(256)) * 200])
    STATE.put(here, "app-prod", [json.dumps({"HF_TOKEN": "CANARY-hf", "PORT": 8080, "NONE": None}).encode()])
    STATE.put(here, "app-more", [json.dumps({"HF_TOKEN": "other", "MORE": "CANARY-more"}).encode()])
    STATE.put(here, "off", [b"x"], states={"1": "DISABLED"})
    STATE.put(here, "gone", [b"x", b"y"], states={"1": "DESTROYED", "2": "DESTROYED"})
    STATE.put(here, "denied", [b"x"], labels={"group": "mixed"})
    STATE.put(here, "damaged", [b"x"])
    for number in range(5):
        STATE.put(
            here,
            f"train-{number}",
            [f"CANARY-train-{number}".encode()],
            labels={"app": "train", "odd": str(number % 2)},
        )
    STATE.put(here, "mixed-1", [b"CANARY-mixed"], labels={"group": "mixed"})
    STATE.put(there, "regional", [b"CANARY-regional"])
    core = json.dumps({name: secrets.token_hex(24) for name in ("AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED")})
    (directory / "core.json").write_text(core)
    STATE.put(here, "core", [core.encode()])
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
