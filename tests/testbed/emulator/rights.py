"""Whether a caller may: IAM's evaluation of identity policies, in place of moto's, which takes every condition for true and every resource for `*`.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
from datetime import datetime, timezone
from urllib.parse import unquote

from moto.iam.models import iam_backends

from .answers import DENIED
from .conditions import Unknown, arn_like, filled, hold, like
from .identities import Caller, who_is
from .permissions import Need, needs, tags_of
from .requests import Call

__all__ = ["Unknown", "denied", "who_is"]


def denied(call: Call, who: Caller):
    """None, or (status, code, message) in AWS's words. Raises `Unknown` for what it cannot judge."""
    if call.action == "GetCallerIdentity":
        # No policy can forbid it: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
        return None
    if who.arn.endswith(":user/administrator"):
        # Who laid out the world, and prepares tests: with calls that no drill makes, and that are not in the table.
        return None
    common = {
        "aws:currenttime": datetime.now(timezone.utc).isoformat(),
        "aws:epochtime": str(int(datetime.now(timezone.utc).timestamp())),
        "aws:requestedregion": call.region,
        "aws:principalarn": who.arn,
        "aws:principalaccount": who.account,
        "aws:principaltype": "AssumedRole" if ":role/" in who.arn else "User",
        "aws:username": who.arn.rsplit("/", 1)[-1],
        **{f"aws:principaltag/{key.lower()}": value for key, value in tags_of(who.holder).items()},
    }
    policies = documents(who)
    for need in needs(call, who.account):
        account = need.resource.split(":")[4] if need.resource.count(":") >= 5 else ""
        context = {**common, "aws:resourceaccount": account or who.account, **need.context}
        verdicts = [judged(policies, need, context)]
        if who.session_policy:
            # A session has what the role and the policy given to AssumeRole both allow.
            verdicts.append(judged([("session policy", json.loads(who.session_policy))], need, context))
        if call.action == "AssumeRole" and not trusted(need.resource, who):
            verdicts.append("no trust policy")
        refused = next((one for one in verdicts if one), None)
        if refused:
            return said(call, who, need, refused)
    return None


def judged(policies: list, need: Need, context: dict):
    """None when allowed; else why not. An explicit deny wins over everything."""
    allowed = False
    for _, document in policies:
        for statement in listed(document.get("Statement", [])):
            if applies(statement, need, context):
                if statement["Effect"] == "Deny":
                    return "explicit deny"
                allowed = True
    return None if allowed else "no allow"


KNOWN_ELEMENTS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


def applies(statement: dict, need: Need, context: dict) -> bool:
    unknown = set(statement) - KNOWN_ELEMENTS
    if unknown or statement.get("Effect") not in ("Allow", "Deny"):
        raise Unknown(f"a statement with {', '.join(sorted(unknown)) or 'no Effect'}")
    if ("Action" in statement) == ("NotAction" in statement) or ("Resource" in statement) == ("NotResource" in statement):
        raise Unknown("a statement needs one of Action and NotAction, and one of Resource and NotResource")
    named = any(like(need.action.lower(), one.lower()) for one in listed(statement.get("Action", statement.get("NotAction"))))
    if named != ("Action" in statement):
        return False
    there = any(resource_matches(filled(one, context), need.resource) for one in listed(statement.get("Resource", statement.get("NotResource"))))
    return there == ("Resource" in statement) and hold(statement.get("Condition", {}), context)


def resource_matches(pattern: str, resource: str) -> bool:
    """`*` is everything; a call without resource-level permissions is met by nothing else."""
    return pattern == "*" or resource != "*" and arn_like(resource, pattern)


def documents(who: Caller) -> list:
    """(name, document) of all identity policies: inline, attached, and those of a user's groups."""
    holder = who.holder
    if holder is None:
        return []
    if getattr(holder, "permissions_boundary_arn", None) or getattr(holder, "permissions_boundary", None):
        raise Unknown(f"{who.arn} has a permissions boundary")
    holders = [holder]
    if ":user/" in who.arn:
        groups = iam_backends[who.account]["aws"].groups.values()
        holders += [one for one in groups if any(member.name == holder.name for member in one.users)]
    found = []
    for one in holders:
        found += [(name, parsed(text)) for name, text in one.policies.items()]
        found += [(policy.name, parsed(policy.document)) for policy in one.managed_policies.values()]
    return found


def parsed(text) -> dict:
    if isinstance(text, dict):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(unquote(text))


def listed(value) -> list:
    return value if isinstance(value, list) else [value]


def trusted(arn: str, who: Caller) -> bool:
    """Whether a role's trust policy names the caller, or the caller's account."""
    account = arn.split(":")[4]
    role = next((one for one in iam_backends[account]["aws"].roles.values() if one.arn == arn), None)
    if role is None:
        return True  # There is no such role: the call says so itself.
    for statement in listed(parsed(role.assume_role_policy_document)["Statement"]):
        if statement.get("Condition"):
            raise Unknown(f"the trust policy of {arn} has a condition")
        principal = statement.get("Principal", {})
        names = [principal] if isinstance(principal, str) else listed(principal.get("AWS", []))
        if statement["Effect"] == "Allow" and any(one in ("*", who.arn, who.account, f"arn:aws:iam::{who.account}:root") for one in names):
            return True
    return False


def said(call: Call, who: Caller, need: Need, why: str):
    """The refusal: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    status, code = DENIED.get(call.service, (403, "AccessDenied"))
    because = "with an explicit deny in an identity-based policy" if why == "explicit deny" else f"because no identity-based policy allows the {need.action} action"
    message = f"User: {who.shown or who.arn} is not authorized to perform: {need.action} on resource: {need.resource} {because}"
    return status, code, f"You are not authorized to perform this operation. {message}" if call.service == "ec2" else message
