"""Runs a script with boto3 as anybody would use it, as a given caller: JSON in on standard input, the script's `result` out as JSON."""

import datetime
import json
import sys

import boto3
import botocore.exceptions
from botocore.config import Config

given = json.load(sys.stdin)
session = boto3.session.Session(
    aws_access_key_id=given["accessKeyId"], aws_secret_access_key=given["secretAccessKey"], aws_session_token=given.get("sessionToken"))


def client(service, region="us-east-1", attempts=1):
    """Without retries, unless some are asked for: a script sees each answer."""
    config = Config(retries={"total_max_attempts": attempts}, connect_timeout=10, read_timeout=30, proxies={})
    return session.client(service, region_name=region, endpoint_url=given["endpoint"], config=config)


def tried(call, **arguments):
    """{"ok": the answer}, or {"error": code, "message", "status"}; a lost answer is the error "connection"."""
    try:
        answer = call(**arguments)
        answer.pop("ResponseMetadata", None)
        return {"ok": answer}
    except botocore.exceptions.ClientError as error:
        said = error.response
        return {"error": said["Error"]["Code"], "message": said["Error"].get("Message", ""), "status": said["ResponseMetadata"]["HTTPStatusCode"]}
    except botocore.exceptions.HTTPClientError as error:
        return {"error": "connection", "message": str(error), "status": 0}


def shown(value):
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value.decode() if isinstance(value, bytes) else str(value)


names = {"given": given, "args": given["args"], "client": client, "tried": tried, "session": session, "json": json, "result": None}
exec(given["script"], names)  # noqa: S102 (the test's own)
json.dump(names["result"], sys.stdout, default=shown)
