"""Pages: where moto has none they are made here, where it has some they can be made smaller, and a first one can be empty."""

import base64
import binascii
from urllib.parse import parse_qsl, urlencode

from .answers import failure, parsed, rendered
from .requests import Call

# Operations that moto answers whole: key of the list, parameter and result of the token, parameter of the size, default size of a page at AWS (0: none).
OURS = {
    ("ec2", "DescribeSubnets"): ("Subnets", "NextToken", "NextToken", "MaxResults", 0),
    ("ec2", "DescribeNetworkAcls"): ("NetworkAcls", "NextToken", "NextToken", "MaxResults", 0),
    ("ec2", "DescribeNetworkInterfaces"): ("NetworkInterfaces", "NextToken", "NextToken", "MaxResults", 0),
    ("ec2", "DescribeVpcEndpoints"): ("VpcEndpoints", "NextToken", "NextToken", "MaxResults", 1000),
    ("ec2", "DescribeVpcs"): ("Vpcs", "NextToken", "NextToken", "MaxResults", 0),
    ("ec2", "DescribeVolumes"): ("Volumes", "NextToken", "NextToken", "MaxResults", 0),
    ("ec2", "DescribeTags"): ("Tags", "NextToken", "NextToken", "MaxResults", 1000),
    ("iam", "GetAccountAuthorizationDetails"): ("RoleDetailList", "Marker", "Marker", "MaxItems", 100),
    ("iam", "ListRoleTags"): ("Tags", "Marker", "Marker", "MaxItems", 100),
    ("iam", "ListRolePolicies"): ("PolicyNames", "Marker", "Marker", "MaxItems", 100),
    ("iam", "ListAttachedRolePolicies"): ("AttachedPolicies", "Marker", "Marker", "MaxItems", 100),
    ("route53", "ListHealthChecks"): ("HealthChecks", "Marker", "NextMarker", "MaxItems", 100),
    ("autoscaling", "DescribeAutoScalingInstances"): ("AutoScalingInstances", "NextToken", "NextToken", "MaxRecords", 50),
    ("autoscaling", "DescribeTags"): ("Tags", "NextToken", "NextToken", "MaxRecords", 50),
    ("cloudwatch", "DescribeAlarms"): ("MetricAlarms", "NextToken", "NextToken", "MaxRecords", 50),
}
# Operations that moto pages itself: key of the list, parameter and result of the token, parameter of the size.
MOTOS = {
    ("ec2", "DescribeInstances"): ("Reservations", "NextToken", "NextToken", "MaxResults"),
    ("iam", "ListRoles"): ("Roles", "Marker", "Marker", "MaxItems"),
    ("autoscaling", "DescribeAutoScalingGroups"): ("AutoScalingGroups", "NextToken", "NextToken", "MaxRecords"),
    ("route53", "ListHostedZones"): ("HostedZones", "Marker", "NextMarker", "MaxItems"),
    ("route53", "ListResourceRecordSets"): ("ResourceRecordSets", "StartRecordName", "NextRecordName", "MaxItems"),
    ("scheduler", "ListSchedules"): ("Schedules", "NextToken", "NextToken", "MaxResults"),
    ("scheduler", "ListScheduleGroups"): ("ScheduleGroups", "NextToken", "NextToken", "MaxResults"),
    ("fis", "ListExperiments"): ("experiments", "nextToken", "nextToken", "maxResults"),
}
# Results that say whether there is more.
TRUNCATED = ("iam", "route53")
MARK = "firedrill-page:"


def token(call: Call, offset: int) -> str:
    return base64.urlsafe_b64encode(f"{MARK}{call.action}:{offset}".encode()).decode()


def offset_of(call: Call, given):
    """Where a page with that token begins; None when the token is none of ours."""
    try:
        text = base64.urlsafe_b64decode(given or "").decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return int(text.rsplit(":", 1)[1]) if text.startswith(f"{MARK}{call.action}:") else None


class Page:
    """What is to be done about the pages of one call: before it is carried out, and afterwards."""

    def __init__(self, call: Call, effects: dict):
        self.call, self.size = call, int(effects.get("pageSize", 0))
        self.key, self.of = (call.service, call.action), None
        self.of = OURS.get(self.key) or MOTOS.get(self.key)
        self.given = call.params.get(self.of[1]) if self.of else None
        self.offset = offset_of(call, self.given)
        self.empty = bool(self.of) and effects.get("emptyPage") and not self.given
        self.own = self.key in OURS

    def refusal(self):
        """An answer at once, to a token that nobody gave out."""
        if self.own and self.given and self.offset is None:
            code, status = {"ec2": ("InvalidNextToken", 400), "autoscaling": ("InvalidNextToken", 400), "cloudwatch": ("InvalidNextToken", 400)}.get(
                self.call.service, ("InvalidInput", 400))
            return failure(self.call, status, code, "The token is not valid.")
        return None

    def request(self, environ: dict, body: bytes) -> bytes:
        """Changes the request on its way to moto; returns its body."""
        if not self.of:
            return body
        changes = {}
        if self.own:
            changes = {self.of[1]: None, self.of[3]: None}
        elif self.size or self.offset is not None:
            if self.offset is not None:
                # Our own token behind an empty page: the list begins.
                changes[self.of[1]] = None
            if self.size:
                given = self.call.params.get(self.of[3])
                changes[self.of[3]] = str(min(self.size, int(given)) if given else self.size)
        # Only where the request has it, or has to get it.
        if not any(value is not None or name in self.call.params for name, value in changes.items()):
            return body
        return changed(self.call, environ, body, changes)

    def answer(self, status: int, headers: dict, body: bytes):
        """Makes the page of moto's answer."""
        if not self.of or status != 200:
            return status, headers, body
        if self.empty:
            return self.emptied(parsed(self.call, status, headers, body))
        if not self.own:
            return status, headers, body
        sizes = [int(one) for one in (self.size, self.call.params.get(self.of[3]), self.of[4]) if one]
        if not sizes:
            return status, headers, body
        start, size = self.offset or 0, min(sizes)
        result = parsed(self.call, status, headers, body)
        whole = result.get(self.of[0], [])
        if start == 0 and len(whole) <= size:
            return status, headers, body
        result[self.of[0]] = whole[start:start + size]
        more = len(whole) > start + size
        result.pop(self.of[2], None)
        if more:
            result[self.of[2]] = token(self.call, start + size)
        if self.call.service in TRUNCATED:
            result |= {"IsTruncated": more, "MaxItems": size, "Marker": self.given} if self.call.service == "route53" else {"IsTruncated": more}
        return rendered(self.call, result)

    def emptied(self, result: dict):
        items = result.get(self.of[0], [])
        result[self.of[0]] = []
        if self.of[1] == "StartRecordName":
            if items:
                first = items[0]
                result |= {"NextRecordName": first["Name"], "NextRecordType": first["Type"], "NextRecordIdentifier": first.get("SetIdentifier")}
        else:
            result[self.of[2]] = token(self.call, 0)
        if self.call.service in TRUNCATED:
            result["IsTruncated"] = bool(items) or self.of[1] != "StartRecordName"
        return rendered(self.call, result)


def changed(call: Call, environ: dict, body: bytes, changes: dict) -> bytes:
    """The request with other parameters, each a text; None takes one away. Lists of parameters are left alone."""
    def edit(pairs):
        names = {name.lower(): name for name in changes}
        kept = [(name, value) for name, value in pairs if name.lower() not in names]
        return urlencode(kept + [(sent_name(call, name), value) for name, value in changes.items() if value is not None])

    if call.protocol in ("query", "ec2"):
        body = edit(parse_qsl(body.decode(), keep_blank_values=True)).encode()
    else:
        environ["QUERY_STRING"] = edit(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        path = environ.get("RAW_URI", "").split("?")[0]
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"{path}?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else path
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def sent_name(call: Call, name: str) -> str:
    """A parameter's name on the wire: Route 53's `marker` and `maxitems` differ from the model's."""
    shape = call.operation.input_shape.members.get(name)
    return shape.serialization.get("name", name) if shape is not None and call.protocol not in ("query", "ec2") else name
