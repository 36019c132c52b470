"""Runs boto3 calls for the Rust tests: sets up moto, and sends requests as any user. usage: aws.py URL

Reads commands from standard input and writes responses to standard output, one JSON object per line:
  {"service": "iam", "operation": "create_user", "arguments": {…}, "key": {"id", "secret", "token"?}}
  ->  {"ok": …} or {"error": code, "message": text, "status": HTTP status}
Bytes are {"$bytes": base64} in both directions; times are ISO 8601.
"""

import base64
import datetime
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CLIENTS = {}


def client(url, service, key):
    made = (service, key["id"], key["secret"], key.get("token"))
    if made not in CLIENTS:
        CLIENTS[made] = boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=key["id"],
            aws_secret_access_key=key["secret"],
            aws_session_token=key.get("token"),
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
    return CLIENTS[made]


def from_json(value):
    if isinstance(value, dict):
        if set(value) == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {name: from_json(one) for name, one in value.items()}
    return [from_json(one) for one in value] if isinstance(value, list) else value


def to_json(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value))


def answer(url, request):
    service = client(url, request["service"], request["key"])
    try:
        result = getattr(service, request["operation"])(**from_json(request["arguments"]))
    except ClientError as error:
        response = error.response
        status = response["ResponseMetadata"]["HTTPStatusCode"]
        return {"error": response["Error"]["Code"], "message": response["Error"].get("Message", ""), "status": status}
    except BotoCoreError as error:
        return {"error": type(error).__name__, "message": str(error), "status": 0}
    result.pop("ResponseMetadata", None)
    return {"ok": result}


for line in sys.stdin:
    print(json.dumps(answer(sys.argv[1], json.loads(line)), default=to_json), flush=True)
