"""Conditions of IAM policies, as the reference of condition operators defines them. What it does not know is an error, never an answer.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

import fnmatch
import re
from datetime import datetime, timezone

# Keys that a call's context may hold; the ones with a slash hold a tag's key behind it. Names are compared without regard to case.
KNOWN = {
    "aws:currenttime", "aws:epochtime", "aws:requestedregion", "aws:principalarn", "aws:principalaccount", "aws:principaltype", "aws:resourceaccount",
    "aws:username", "aws:userid", "aws:tagkeys", "aws:calledvia", "aws:viaawsservice", "aws:sourcearn", "aws:sourceaccount",
    "ec2:createaction", "ec2:region", "ec2:vpc", "ec2:subnetid", "ec2:networkaclid", "ec2:instanceid", "ec2:availabilityzone", "ec2:instancetype",
    "iam:passedtoservice", "iam:associatedresourcearn",
    "route53:changeresourcerecordsetsnormalizedrecordnames", "route53:changeresourcerecordsetsrecordtypes", "route53:changeresourcerecordsetsactions",
    "sts:rolesessionname", "sts:externalid",
}
KNOWN_TAGS = ("aws:resourcetag/", "aws:requesttag/", "aws:principaltag/", "ec2:resourcetag/", "iam:resourcetag/", "autoscaling:resourcetag/")
OPERATOR = re.compile(r"^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$")


class Unknown(Exception):
    """Something in a policy or a call that the evaluator does not know."""


def hold(conditions: dict, context: dict) -> bool:
    """Whether all conditions of a statement hold. `context` has lower-case keys, each with a text or, for keys with many values, a list."""
    return all(one_holds(operator, key, values, context) for operator, keys in conditions.items() for key, values in keys.items())


def one_holds(operator: str, key: str, wanted, context: dict) -> bool:
    found = OPERATOR.match(operator)
    key = key.lower()
    if key not in KNOWN and not key.startswith(KNOWN_TAGS):
        raise Unknown(f"the condition key {key!r} is not one that it knows")
    if not found or found.group(2) not in TESTS and found.group(2) != "Null":
        raise Unknown(f"the condition operator {operator!r} is not one that it knows")
    quantifier, name, if_exists = found.groups()
    wanted = [plain(one) for one in (wanted if isinstance(wanted, list) else [wanted])]
    wanted = [filled(one, context) for one in wanted] if name.startswith(("String", "Arn")) else wanted
    there = context.get(key)
    if name == "Null":
        return any((there is None) == (one.lower() == "true") for one in wanted)
    if there is None:
        # Without a value, negated operators hold, and ForAllValues does.
        return bool(if_exists) or quantifier == "ForAllValues" or quantifier is None and "Not" in name
    values = there if isinstance(there, list) else [there]
    test = TESTS[name]

    def matches(value: str) -> bool:
        # A negated operator holds when no value of the policy matches.
        return all(test(value, one) for one in wanted) if "Not" in name else any(test(value, one) for one in wanted)

    return all(matches(one) for one in values) if quantifier == "ForAllValues" else any(matches(one) for one in values)


def filled(text: str, context: dict) -> str:
    """A policy's text with its variables: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html"""
    def value(match) -> str:
        name = match.group(1).lower()
        if name in ("*", "?", "$"):
            return name
        if name not in KNOWN and not name.startswith(KNOWN_TAGS):
            raise Unknown(f"the policy variable {match.group(0)!r} is not one that it knows")
        held = context.get(name)
        # Without a value nothing matches.
        return held if isinstance(held, str) else "\0"

    return re.sub(r"\$\{([^}]+)\}", value, text)


def plain(value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def like(value: str, pattern: str) -> bool:
    """`*` and `?` only: fnmatch would take brackets for sets."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


def arn_like(value: str, pattern: str) -> bool:
    """Part by part: a star does not reach over a colon, but for the last part."""
    parts, patterns = value.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) and all(like(part, one) for part, one in zip(parts, patterns))


def instant(text: str) -> datetime:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), timezone.utc)
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Unknown(f"{text!r} is no date") from None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Unknown(f"{text!r} is no number") from None


def ordered(read):
    """The six comparisons of numbers or dates."""
    return {
        "Equals": lambda a, b: read(a) == read(b),
        "NotEquals": lambda a, b: read(a) != read(b),
        "LessThan": lambda a, b: read(a) < read(b),
        "LessThanEquals": lambda a, b: read(a) <= read(b),
        "GreaterThan": lambda a, b: read(a) > read(b),
        "GreaterThanEquals": lambda a, b: read(a) >= read(b),
    }


TESTS = {
    "StringEquals": lambda a, b: a == b,
    "StringNotEquals": lambda a, b: a != b,
    "StringEqualsIgnoreCase": lambda a, b: a.lower() == b.lower(),
    "StringNotEqualsIgnoreCase": lambda a, b: a.lower() != b.lower(),
    "StringLike": like,
    "StringNotLike": lambda a, b: not like(a, b),
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "ArnNotEquals": lambda a, b: not arn_like(a, b),
    "ArnNotLike": lambda a, b: not arn_like(a, b),
    "Bool": lambda a, b: a.lower() == b.lower(),
    **{f"Numeric{name}": test for name, test in ordered(number).items()},
    **{f"Date{name}": test for name, test in ordered(instant).items()},
}
