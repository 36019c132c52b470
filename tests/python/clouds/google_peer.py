# ruff: noqa: E402
"""What Google's own client reads.

usage: google_peer.py [NAME=VALUE…] ADDRESS FILE
The variables are set first. FILE is a credentials file; `metadata` uses the metadata server. Standard input has a list
of names of versions, such as `projects/train-1/secrets/a/versions/latest`, or of filters of lists, such as
`labels.app=train`. Prints a list: the value in base64 with its version, names of secrets, or the class of the error.
"""

import base64
import json
import os
import sys

*variables, address, file = sys.argv[1:]
os.environ.update(variable.split("=", 1) for variable in variables)
os.environ["GCE_METADATA_HOST"] = address
# These addresses are constants of the client.
import google.auth.iam
import google.oauth2.credentials

google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT = f"http://{address}/token"
google.auth.iam._IAM_ENDPOINT = google.auth.iam._IAM_ENDPOINT.replace(
    "https://iamcredentials.googleapis.com", f"http://{address}"
)
import google.auth
import google.auth.aws
import google.auth.compute_engine
import google.auth.identity_pool
import google.auth.pluggable
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceRestTransport

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
if file == "metadata":
    credentials = google.auth.compute_engine.Credentials()
elif json.load(open(file))["type"] == "external_account":
    # The function below would ask another service for the project.
    source = json.load(open(file))["credential_source"]
    kind = google.auth.aws if "environment_id" in source else google.auth.identity_pool
    kind = google.auth.pluggable if "executable" in source else kind
    credentials = kind.Credentials.from_file(file, scopes=SCOPES)
else:
    credentials, _ = google.auth.load_credentials_from_file(file, scopes=SCOPES)
transport = SecretManagerServiceRestTransport(host=address, url_scheme="http", credentials=credentials)
client = SecretManagerServiceClient(transport=transport)


def ask(name):
    try:
        if not name.startswith("projects/"):
            listed = client.list_secrets(request={"parent": "projects/train-1", "filter": name, "page_size": 100})
            return sorted(secret.name.rsplit("/", 1)[1] for secret in listed)
        response = client.access_secret_version(name=name, retry=None)
        return [base64.b64encode(response.payload.data).decode(), response.name.rsplit("/", 1)[1]]
    except (GoogleAPICallError, GoogleAuthError) as error:
        return type(error).__name__


print(json.dumps([ask(name) for name in json.load(sys.stdin)]))
