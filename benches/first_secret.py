"""The same lookup in Python: the environment, then the file."""

import json
import os
import sys

value = os.environ.get(sys.argv[2])
if not value:
    with open(sys.argv[1], encoding="utf-8") as file:
        value = json.load(file)[sys.argv[2]]
print(len(value))
