"""Users, roles and their credentials: who is calling, and new ones for tests."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from .requests import Call

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass
class Caller:
    """Whose credentials signed a call."""

    account: str
    # arn:…:user/NAME, or arn:…:role/NAME for a session of that role.
    arn: str
    # The user or role as moto has it; None when it was deleted since.
    holder: object
    # Policy given to AssumeRole, which limits the session.
    session_policy: str = ""
    # As messages have it: the ARN of a session, for a role.
    shown: str = ""


def who_is(call: Call):
    """(Caller, None), or (None, (status, code, message)) of the refusal."""
    unknown = {
        "ec2": (401, "AuthFailure", "AWS was not able to validate the provided access credentials"),
        "scheduler": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
        "fis": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    }.get(call.service, (403, "InvalidClientTokenId", "The security token included in the request is invalid."))
    for account, backend in list(iam_backends.items()):
        key = backend["aws"].access_keys.get(call.access_key)
        if key is None or key.status != "Active":
            continue
        if key.role_arn is None:
            user = next((one for one in backend["aws"].users.values() if one.name == key.user_name), None)
            return (Caller(account, user.arn, user), None) if user else (None, unknown)
        session = sts_backends[account]["aws"].get_assumed_role_from_access_key(call.access_key)
        if session is None or session.session_token != call.token:
            return None, unknown
        if utcnow() >= session.expiration:
            # https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
            expired = {"ec2": "RequestExpired", "scheduler": "ExpiredTokenException", "fis": "ExpiredTokenException"}.get(call.service, "ExpiredToken")
            return None, (400 if call.service == "ec2" else 403, expired, "The security token included in the request is expired")
        role = next((one for one in backend["aws"].roles.values() if one.arn == key.role_arn), None)
        return Caller(account, key.role_arn, role, session.policy or "", session.arn), None
    return None, unknown


def new_user(name: str, policies: list, account: str) -> dict:
    """A user with these policies and nothing else, or another set of policies for a user that is there; and its key."""
    iam = iam_backends[account]["aws"]
    user = iam.users.get(name) or iam.create_user(region_name="us-east-1", user_name=name)
    user.policies.clear()
    for number, policy in enumerate(policies):
        user.policies[f"policy-{number}"] = text(policy)
    key = user.access_keys[0] if user.access_keys else iam.create_access_key(user_name=name)
    return {"arn": user.arn, "account": account, "accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key}


def new_role(name: str, policies: list, account: str, trusted: str = "") -> dict:
    """A role that everybody of the account (or of the trusted one) may assume, with these inline policies; those that it has already go."""
    iam = iam_backends[account]["aws"]
    role = next((one for one in iam.roles.values() if one.name == name), None)
    if role is None:
        role = iam.create_role(role_name=name, assume_role_policy_document=json.dumps(trusting(trusted or account)), path="/", permissions_boundary=None, description="",
                               tags=[], max_session_duration="43200")
    role.policies.clear()
    for number, policy in enumerate(policies):
        role.policies[f"policy-{number}"] = text(policy)
    return {"role": role.arn, "account": account}


def revoke(access_key: str) -> bool:
    """The key is no longer good."""
    for _, backend in list(iam_backends.items()):
        key = backend["aws"].access_keys.get(access_key)
        if key is not None:
            key.status = "Inactive"
            return True
    return False


def expire(access_key: str) -> bool:
    """The session of that key is over now."""
    for _, backend in list(sts_backends.items()):
        session = backend["aws"].get_assumed_role_from_access_key(access_key)
        if session is not None:
            session.expiration = datetime.now(timezone.utc).replace(tzinfo=session.expiration.tzinfo)
            return True
    return False


def trusting(account: str, service: str = "") -> dict:
    """A trust policy: everybody of an account, or a service."""
    principal = {"Service": service} if service else {"AWS": f"arn:aws:iam::{account}:root"}
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}


def text(policy) -> str:
    return policy if isinstance(policy, str) else json.dumps(policy)
