"""Sees each correction with boto3, against the corrected emulator and against moto as it is: `python -m emulator.check [NAME…]`.

A row for each: what AWS does, what plain moto does. It fails when the corrected one does not do what AWS does, when plain moto does it too (then the correction
is no longer needed), and when a correction has no check, or a check no correction.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true")

import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError, HTTPClientError  # noqa: E402
from botocore.parsers import ResponseParserError  # noqa: E402

from . import corrections  # noqa: E402

DOCS = Path(__file__).resolve().parents[3] / "docs" / "testbed.md"
# name -> (what AWS does, function that says what is seen).
CHECKS = {}


def check(expected: str):
    """A check under the correction's name; it returns a short text, which must be `expected`."""
    def taken(function):
        CHECKS[function.__name__] = (expected, function)
        return function
    return taken


# Plain moto loses them often, not always: what it shows is printed and proves nothing by itself.
RACES = {"one_call_at_a_time"}


class Side:
    """One emulator: corrected or plain."""

    def __init__(self, said: dict, plain: bool):
        self.plain, self.endpoint = plain, said["endpoint"]
        self.key = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "secret"} if plain else said
        self.clients = {}

    def __call__(self, service: str, region: str = "us-east-1", key: dict = None):
        key = key or self.key
        known = (service, region, key["accessKeyId"])
        if known not in self.clients:
            session = boto3.session.Session(key["accessKeyId"], key["secretAccessKey"], key.get("sessionToken"), region_name=region)
            config = Config(retries={"total_max_attempts": 1}, read_timeout=20, proxies={}, max_pool_connections=32)
            self.clients[known] = session.client(service, endpoint_url=self.endpoint, config=config)
        return self.clients[known]

    def post(self, path: str, what, kind: str = "application/json"):
        data = what.encode() if isinstance(what, str) else json.dumps(what).encode()
        request = urllib.request.Request(f"{self.endpoint}{path}", data, {"Content-Type": kind})
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    @contextlib.contextmanager
    def enforcing(self):
        """Policies decide inside; moto counts calls until they do."""
        turn = (lambda on: self.post("/moto-api/reset-auth", "0" if on else "inf", "text/plain")) if self.plain else (lambda on: self.post("/testbed/enforce", {"on": on}))
        turn(True)
        try:
            yield
        finally:
            turn(False)

    def user(self, name: str, *statements: dict) -> dict:
        """A user with these statements, made as anybody would."""
        iam = self("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}


def tried(call, **arguments) -> str:
    """`ok`, or the error: `400 InvalidAssociationID.NotFound`."""
    try:
        call(**arguments)
        return "ok"
    except ClientError as error:
        return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
    except ResponseParserError:
        return "an HTML page"
    except HTTPClientError as error:
        return type(error).__name__


@contextlib.contextmanager
def started(*words: str):
    with tempfile.TemporaryDirectory() as parent:
        command = [sys.executable, "-B", "-m", "emulator", "--directory", str(Path(parent) / "aws"), *words]
        here = Path(__file__).resolve().parent.parent
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=here, text=True)
        try:
            yield Side(json.loads(process.stdout.readline()), "--plain" in words)
        finally:
            process.stdin.close()
            process.wait()


def seen_by(side: Side, function) -> str:
    try:
        return str(function(side))
    except Exception as error:  # An emulator may fail in any way; that is what is seen.
        return f"{type(error).__name__}: {error}"[:160]


def main() -> int:
    from .checks import asked, compute, control, names  # noqa: F401 (they register themselves)

    corrections.apply()
    if sys.argv[1:] == ["--table"]:
        print(corrections.table())
        return 0
    areas = {one.name: one.area for one in corrections.ALL}
    wrong = [f"{name}: no check" for name in areas if name not in CHECKS] + [f"{name}: no correction" for name in CHECKS if name not in areas]
    wanted = sys.argv[1:] or list(CHECKS)
    if corrections.table() not in DOCS.read_text():
        wrong.append("docs/testbed.md has another table of corrections; print it: python -m emulator.check --table")
    with started() as corrected, started("--plain") as plain:
        print("| area | correction | AWS, and here | plain moto |\n|---|---|---|---|")
        for name in wanted:
            expected, function = CHECKS[name]
            here, there = seen_by(corrected, function), seen_by(plain, function)
            print(f"| {areas.get(name)} | {name} | {here} | {there} |", flush=True)
            if here != expected:
                wrong.append(f"{name}: {here!r} instead of {expected!r}")
            if there == expected and name not in RACES:
                wrong.append(f"{name}: plain moto does it too; the correction is no longer needed")
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    # Not as __main__: the checks import this module by its name.
    from emulator import check as self_

    sys.exit(self_.main())
