"""What Microsoft's own client reads.

usage: azure_peer.py [NAME=VALUE…] VAULT-URL KIND
The variables are set first. KIND is `environment`, `workload_identity` or `managed_identity`. Standard input has a
list of names or `[name, version]`; `null` lists the names. Prints a list: the value with its version, names, or the
class of
the error.
"""

import json
import os
import sys

from azure.core.exceptions import AzureError
from azure.identity import EnvironmentCredential, ManagedIdentityCredential, WorkloadIdentityCredential
from azure.keyvault.secrets import SecretClient

*variables, url, kind = sys.argv[1:]
os.environ.update(variable.split("=", 1) for variable in variables)
OPTIONS = {"retry_total": 0}
credential = {
    "environment": lambda: EnvironmentCredential(disable_instance_discovery=True, **OPTIONS),
    "workload_identity": lambda: WorkloadIdentityCredential(disable_instance_discovery=True, **OPTIONS),
    "managed_identity": lambda: ManagedIdentityCredential(**OPTIONS),
}[kind]()
client = SecretClient(url, credential, **OPTIONS)


def ask(asked):
    try:
        if asked is None:
            return sorted(secret.name for secret in client.list_properties_of_secrets() if secret.enabled)
        name, version = asked if isinstance(asked, list) else (asked, None)
        secret = client.get_secret(name, version)
        return [secret.value, secret.properties.version]
    except AzureError as error:
        print(error, file=sys.stderr)
        return type(error).__name__


print(json.dumps([ask(asked) for asked in json.load(sys.stdin)]))
