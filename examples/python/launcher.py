"""A training launcher: fetches the named secrets, puts them into the environment of a command and becomes it.

    python launcher.py HF_TOKEN REPLICATE_API_TOKEN -- python train.py
    python launcher.py --from HF_TOKEN                where each secret comes from, never its value
    python launcher.py --check                        how each provider is

Exit codes: that of the command; 2 for wrong use; 3 if a secret is missing; 4 if one could not be had; 127 if there is no
such command.
"""

import logging
import os
import sys

from st_secrets import Error, NotFoundError, SecretsManager, cached


@cached(ttl=60, key_prefix="launcher")
def origin(key: str) -> str:
    """The provider that has a secret. A second question within a minute is answered from the cache."""
    with SecretsManager().find(key) as secret:
        return secret.provider + (" (an earlier provider failed)" if secret.degraded else "")


def check() -> int:
    report = SecretsManager().check()
    for provider in report["providers"]:
        print(f"{provider['name']}: {provider['state']}, {provider['detail']}")
        if "advice" in provider:
            print(f"    {provider['advice']}")
    return 0 if report["ok"] else 4


def main(arguments: list[str]) -> int:
    logging.basicConfig(format="launcher: %(message)s")  # where the library's warnings go
    if arguments == ["--check"]:
        return check()
    if len(arguments) > 1 and arguments[0] == "--from":
        for key in arguments[1:]:
            print(f"{key}: {origin(key)}")
        return 0
    if "--" not in arguments[1:-1]:
        print(__doc__, file=sys.stderr)
        return 2
    split = arguments.index("--")
    names, command = arguments[:split], arguments[split + 1 :]
    environment = dict(os.environ)
    for name in names:
        with SecretsManager().find(name) as secret:
            environment[name] = secret.reveal()
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        print(f"launcher: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NotFoundError as error:
        sys.exit(print(f"launcher: {error}", file=sys.stderr) or 3)
    except Error as error:
        sys.exit(print(f"launcher: {error} ({error.name})", file=sys.stderr) or 4)
