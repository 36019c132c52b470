"""Prints the keys that botocore takes from the files of the AWS tools.

Reads one JSON list from standard input: [{"config"?: text, "credentials"?: text, "env"?: {name: value}}]. In texts and
values HOME stands for the directory of the case, `argv[1]/N`, which contains these files and `keys`, for a program to
print. Writes the results to standard output in the same order: {"id", "secret", "token"}, {"error": text}, or null for
none.
"""

import json
import os
import pathlib
import sys

import botocore.session


def keys(case, home):
    os.environ.update({name: value.replace("HOME", str(home)) for name, value in case.get("env", {}).items()})
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    for name, variable in ("config", "AWS_CONFIG_FILE"), ("credentials", "AWS_SHARED_CREDENTIALS_FILE"):
        path = home / name
        if name in case:
            path.write_text(case[name].replace("HOME", str(home)))
        os.environ.setdefault(variable, str(path))
    try:
        found = botocore.session.Session().get_credentials()
        frozen = found and found.get_frozen_credentials()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return found and {"id": frozen.access_key, "secret": frozen.secret_key, "token": frozen.token}


clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
answers = []
for number, case in enumerate(json.load(sys.stdin)):
    os.environ.clear()
    os.environ.update(clean)
    home = pathlib.Path(sys.argv[1], str(number))
    home.mkdir()
    (home / "keys").write_text('{"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "x"}')
    answers.append(keys(case, home))
print(json.dumps(answers))
