"""Prints what boto3 and hvac read from the servers of a test, for comparison.

Reads one JSON object from standard input; each part is optional:
  {"aws": {"endpoint", "region"?, "key": {"id", "secret", "token"?}, "ca"?,
           "secrets": [{"SecretId", "VersionStage"?, "VersionId"?}]},
   "vault": {"url", "token"?, "namespace"?, "ca"?, "cert"?: [file, key file],
             "aws_login"?: {"role", "key", "secret", "server_id"},
             "reads": [{"mount", "path", "kv": 1 or 2, "version"?}]}}
Writes the results to standard output in the same order, bytes as base64:
  {"aws": [{"name", "version", "stages", "bytes", "values": {key: bytes}}],
   "vault": [{"version": number or null, "values": {key: bytes}}]}
or {"error": code} instead of one. A value that is not a string is returned as JSON: from AWS as it is written in the
secret, from Vault as hvac parses it.
"""

import base64
import json
import sys

import boto3
import hvac
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class Written(float):
    """A number that keeps its text."""

    def __new__(cls, text):
        number = super().__new__(cls, text)
        number.text = text
        return number


def encode(value):
    if isinstance(value, Written):
        value = value.text
    elif isinstance(value, (dict, list, bool, int, float)) or value is None:
        value = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()


def document(data):
    """Returns the members of a JSON object; nothing for other values."""
    try:
        parsed = json.loads(data, parse_float=Written, parse_int=Written)
    except ValueError:
        return None
    return {key: encode(value) for key, value in parsed.items()} if isinstance(parsed, dict) else None


def aws(asked):
    key = asked["key"]
    client = boto3.client(
        "secretsmanager",
        endpoint_url=asked["endpoint"],
        region_name=asked.get("region", "us-east-1"),
        aws_access_key_id=key["id"],
        aws_secret_access_key=key["secret"],
        aws_session_token=key.get("token"),
        verify=asked.get("ca"),
        config=Config(proxies={}),
    )
    for arguments in asked["secrets"]:
        try:
            got = client.get_secret_value(**arguments)
        except ClientError as error:
            yield {"error": error.response["Error"]["Code"]}
            continue
        except BotoCoreError as error:
            yield {"error": type(error).__name__}
            continue
        data = got["SecretString"].encode() if "SecretString" in got else got["SecretBinary"]
        yield {
            "name": got["Name"],
            "version": got["VersionId"],
            "stages": got["VersionStages"],
            "bytes": encode(data),
            "values": document(data),
        }


def vault(asked):
    client = hvac.Client(
        url=asked["url"],
        token=asked.get("token"),
        namespace=asked.get("namespace"),
        verify=asked.get("ca") or True,
        cert=tuple(asked["cert"]) if asked.get("cert") else None,
    )
    if login := asked.get("aws_login"):
        client.auth.aws.iam_login(login["key"], login["secret"], role=login["role"], header_value=login["server_id"])
    for read in asked["reads"]:
        mount, path = read["mount"], read["path"]
        try:
            if read["kv"] == 1:
                data, version = client.secrets.kv.v1.read_secret(path=path, mount_point=mount)["data"], None
            else:
                got = client.secrets.kv.v2.read_secret_version(
                    path=path, mount_point=mount, version=read.get("version"), raise_on_deleted_version=True
                )["data"]
                data, version = got["data"], got["metadata"]["version"]
        except (hvac.exceptions.VaultError, OSError) as error:
            yield {"error": type(error).__name__}
            continue
        yield {"version": version, "values": {key: encode(value) for key, value in data.items()}}


asked = json.load(sys.stdin)
answers = {name: list(part(asked[name])) for name, part in (("aws", aws), ("vault", vault)) if name in asked}
print(json.dumps(answers))
