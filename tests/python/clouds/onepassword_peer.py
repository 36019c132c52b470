"""What 1Password's own client reads.

usage: onepassword_peer.py URL TOKEN_FILE
Standard input has a list of [vault, item], each a name or an identifier; `null` lists the names of the vaults. Prints a
list: a list of [label, value, section] for each field with the version of the item, names, or the message of the error.
"""

import json
import sys
from pathlib import Path

from onepasswordconnectsdk.client import new_client
from onepasswordconnectsdk.errors import FailedToRetrieveItemException, FailedToRetrieveVaultException

url, token = sys.argv[1:]
client = new_client(url, Path(token).read_text().strip())


def ask(asked):
    try:
        if asked is None:
            return sorted(vault.name for vault in client.get_vaults())
        vault, name = asked
        item = client.get_item(name, vault)
        fields = [[each.label, each.value, each.section.id if each.section else None] for each in item.fields or []]
        return [fields, str(item.version)]
    except (FailedToRetrieveItemException, FailedToRetrieveVaultException) as error:
        return " ".join(str(error).split())


print(json.dumps([ask(asked) for asked in json.load(sys.stdin)]))
