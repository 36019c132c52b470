"""What the official client of Kubernetes reads.

usage: kubernetes_peer.py URL TOKEN_FILE
       kubernetes_peer.py KUBECONFIG
Standard input has a list of [namespace, name] or [namespace, label selector with `=`]. Prints a list: the values in
base64 by key, with the version; the names of Secrets with the label; or the status of the error.
"""

import json
import sys
from pathlib import Path

from kubernetes import client, config
from kubernetes.client.rest import ApiException

settings = client.Configuration()
if len(sys.argv) == 2:
    config.load_kube_config(sys.argv[1], client_configuration=settings)
else:
    url, token = sys.argv[1:]
    settings.host = url
    settings.api_key = {"authorization": f"Bearer {Path(token).read_text().strip()}"}
api = client.CoreV1Api(client.ApiClient(settings))


def pages(namespace, selector):
    start = None
    while start != "":
        listed = api.list_namespaced_secret(namespace, label_selector=selector, limit=100, _continue=start)
        yield from (secret.metadata.name for secret in listed.items)
        start = listed.metadata._continue or ""


def ask(namespace, what):
    try:
        if "=" in what:
            return list(pages(namespace, what))
        secret = api.read_namespaced_secret(what, namespace)
        return [secret.data or {}, secret.metadata.resource_version]
    except ApiException as error:
        return error.status


print(json.dumps([ask(*each) for each in json.load(sys.stdin)]))
