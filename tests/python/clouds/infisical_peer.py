"""What Infisical's own client reads.

usage: infisical_peer.py URL PROJECT CLIENT-ID SECRET_FILE, or IDENTITY-ID and a JWT for OIDC
Standard input has a list of [environment, path] or [environment, path, name]. Prints a list: [name, value, version] for
each secret at a path and a list of those of each import; [value, version] of one; or [status, message] of the error.
"""

import json
import sys
from pathlib import Path

from infisical_sdk import InfisicalSDKClient
from infisical_sdk.infisical_requests import APIError

url, project, client_id, secret = sys.argv[1:]
client = InfisicalSDKClient(host=url, cache_ttl=None)


def shown(secrets):
    return [[each.secretKey, each.secretValue, str(each.version)] for each in secrets]


def ask(environment, path, name=None):
    try:
        if secret.startswith("/"):
            client.auth.universal_auth.login(client_id, Path(secret).read_text().strip())
        else:
            client.auth.oidc_auth.login(client_id, secret)
        if name is not None:
            one = client.secrets.get_secret_by_name(name, environment, path, project_id=project)
            return [one.secretValue, str(one.version)]
        listed = client.secrets.list_secrets(environment, path, project_id=project)
        imports = [[] if not each.secrets else secrets_of(each) for each in listed.imports]
        return [shown(listed.secrets), imports]
    except APIError as error:
        return [error.status_code, str(error)]


def secrets_of(imported):
    """The client leaves the secrets of an import as dictionaries."""
    return [[each["secretKey"], each["secretValue"], str(each["version"])] for each in imported.secrets]


print(json.dumps([ask(*asked) for asked in json.load(sys.stdin)]))
