"""A training launcher: fetches the named secrets, sets them in the environment of a command and runs it in this
process.

    python launcher.py HF_TOKEN REPLICATE_API_TOKEN -- python train.py
    python launcher.py --from HF_TOKEN                prints the origin of each secret, never its value
    python launcher.py --check                        prints the health of each provider

Exit codes: that of the command; 2 for wrong usage; 3 if a secret is missing; 4 if one could not be fetched; 127 if the
command does not exist.
"""

import logging
import os
import sys

from st_secrets import Error, NotFoundError, SecretsManager, cached


@cached(ttl=60, key_prefix="launcher")
def origin(key: str) -> str:
    """Returns the provider of a secret, which is cached for a minute."""
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
    logging.basicConfig(format="launcher: %(message)s")  # prints the library's warnings
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
