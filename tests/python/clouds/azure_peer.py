"""What Microsoft's own client reads.

usage: azure_peer.py [NAME=VALUE…] VAULT-URL KIND
The variables are set first. KIND is `environment`, `workload_identity`, `managed_identity`, `cli`, or `cli_files` for
what the Azure CLI does with its files. Standard input has a list of names or `[name, version]`; `null` lists the names.
Prints a list: the value with its version, names, or the class of the error.
"""

import json
import os
import sys
from pathlib import Path

import msal
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    EnvironmentCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from azure.keyvault.secrets import SecretClient

*variables, url, kind = sys.argv[1:]
os.environ.update(variable.split("=", 1) for variable in variables)
OPTIONS = {"retry_total": 0}


class CliFiles:
    """The Azure CLI asks Microsoft's library for a token of the default user in its cache."""

    def get_token(self, *scopes, **_):
        directory = Path(os.environ["AZURE_CONFIG_DIR"])
        profile = json.loads((directory / "azureProfile.json").read_text(encoding="utf-8-sig"))
        own = next(each for each in profile["subscriptions"] if each["isDefault"])
        cache = msal.SerializableTokenCache()
        cache.deserialize((directory / "msal_token_cache.json").read_text())
        application = msal.PublicClientApplication(
            "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            authority=f"https://login.microsoftonline.com/{own['tenantId']}",
            token_cache=cache,
            instance_discovery=False,
        )
        (account,) = application.get_accounts(own["user"]["name"])
        response = application.acquire_token_silent_with_error(list(scopes), account)
        if "access_token" not in response:
            raise ClientAuthenticationError(response["error"])
        return AccessToken(response["access_token"], response["expires_in"])


credential = {
    "environment": lambda: EnvironmentCredential(disable_instance_discovery=True, **OPTIONS),
    "workload_identity": lambda: WorkloadIdentityCredential(disable_instance_discovery=True, **OPTIONS),
    "cli": AzureCliCredential,
    "cli_files": CliFiles,
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
