"""Which permissions each call needs: IAM action, resources with their tags, and the keys that the call itself gives.

From the Service Authorization Reference, https://docs.aws.amazon.com/service-authorization/latest/reference/: list_amazonec2, list_awsidentityandaccessmanagementiam,
list_amazonroute53, list_amazonec2autoscaling, list_amazoneventbridgescheduler, list_awsfaultinjectionservice, list_amazoncloudwatch, list_awssecuritytokenservice.
An action without resource types there needs `*`.
"""

from dataclasses import dataclass, field

from moto.autoscaling.models import autoscaling_backends
from moto.ec2.models import ec2_backends
from moto.fis.models import fis_backends
from moto.iam.models import iam_backends
from moto.scheduler.models import scheduler_backends

from .conditions import Unknown
from .requests import Call

PREFIX = {"ec2": "ec2", "iam": "iam", "route53": "route53", "autoscaling": "autoscaling", "scheduler": "scheduler", "fis": "fis", "cloudwatch": "cloudwatch",
          "sts": "sts"}


@dataclass
class Need:
    """One permission: `action` on `resource`, in `context` (lower-case keys)."""

    action: str
    resource: str = "*"
    context: dict = field(default_factory=dict)


def needs(call: Call, account: str) -> list:
    """All that must be allowed for this call."""
    name = f"{PREFIX.get(call.service)}:{call.action}"
    if name in TABLE:
        return list(TABLE[name](At(call, account, name)))
    if call.service == "ec2" and call.action.startswith("Describe") or name in UNSCOPED:
        return [Need(name)]
    raise Unknown(f"no drill calls {call.service} {call.action}, and what it needs is not written down; add it to tests/testbed/emulator/permissions.py")


class At:
    """One call, with shorthands for its resources."""

    def __init__(self, call: Call, account: str, action: str):
        self.call, self.account, self.action, self.params, self.region = call, account, action, call.params, call.region

    def arn(self, service: str, rest: str, region: str = None) -> str:
        return f"arn:aws:{service}:{self.region if region is None else region}:{self.account}:{rest}"

    @property
    def ec2(self):
        return ec2_backends[self.account][self.region]

    def ec2_need(self, kind: str, number: str, action: str = "", **more) -> Need:
        """A permission on a resource of EC2; `*` for one that the call makes."""
        context = {**tagged(self.ec2.tags.get(number, {}), "aws", "ec2"), "ec2:region": self.region, **self.described(kind, number), **more}
        return Need(action or self.action, self.arn("ec2", f"{kind}/{number}"), context)

    def described(self, kind: str, number: str) -> dict:
        found, vpc = {}, None
        if kind == "instance":
            instance = next((one for of in self.ec2.reservations.values() for one in of.instances if one.id == number), None)
            found = {"ec2:instanceid": number, **({"ec2:instancetype": instance.instance_type, "ec2:availabilityzone": instance.placement.zone} if instance else {})}
        elif kind == "subnet":
            subnet = next((zone[number] for zone in self.ec2.subnets.values() if number in zone), None)
            found, vpc = {"ec2:subnetid": number, **({"ec2:availabilityzone": subnet.availability_zone} if subnet else {})}, getattr(subnet, "vpc_id", None)
        elif kind == "network-acl":
            acl = self.ec2.network_acls.get(number)
            found, vpc = {"ec2:networkaclid": number} if acl else {}, acl.vpc_id if acl else self.params.get("VpcId")
        elif kind == "vpc-endpoint":
            vpc = getattr(self.ec2.vpc_end_points.get(number), "vpc_id", None)
        return {**found, **({"ec2:vpc": self.arn("ec2", f"vpc/{vpc}")} if vpc else {})}


def tagged(tags: dict, *services: str) -> dict:
    return {f"{service}:resourcetag/{key.lower()}": value for service in services for key, value in tags.items()}


def asked(tags: dict) -> dict:
    """Tags that the call itself gives."""
    return {**{f"aws:requesttag/{key.lower()}": value for key, value in tags.items()}, **({"aws:tagkeys": list(tags)} if tags else {})}


def pairs(tags) -> dict:
    """A list of tags, under whatever case the service writes them."""
    return {one.get("Key", one.get("key")): one.get("Value", one.get("value", "")) or "" for one in tags or []}


def tags_of(holder) -> dict:
    """Of a role or user as moto has it: under lower-case keys, each with the tag as it was given; or nothing."""
    held = getattr(holder, "tags", None) or {}
    return pairs(held.values() if isinstance(held, dict) else held)


def of_ids(kind: str, key: str):
    """A call on resources of EC2 that it names: one, or a list."""
    def found(at: At):
        ids = at.params.get(key) or []
        for one in [ids] if isinstance(ids, str) else ids:
            yield at.ec2_need(kind, one)
    return found


def create_network_acl(at: At):
    given = {key: value for one in at.params.get("TagSpecifications") or [] for key, value in pairs(one.get("Tags")).items()}
    yield at.ec2_need("network-acl", "*", **asked(given))
    yield at.ec2_need("vpc", at.params["VpcId"])
    if given:
        yield at.ec2_need("network-acl", "*", "ec2:CreateTags", **asked(given), **{"ec2:createaction": at.call.action})


def replace_association(at: At):
    yield at.ec2_need("network-acl", at.params["NetworkAclId"])
    current = at.params["AssociationId"]
    subnet = next((acl._associations[current].subnet_id for acl in at.ec2.network_acls.values() if current in acl._associations), None)
    if subnet:
        yield at.ec2_need("subnet", subnet)


KINDS = {"i": "instance", "acl": "network-acl", "subnet": "subnet", "vpce": "vpc-endpoint", "vpc": "vpc", "eni": "network-interface", "vol": "volume",
         "rtb": "route-table", "sg": "security-group", "lt": "launch-template", "ami": "image"}


def ec2_tags(at: At):
    for one in at.params.get("Resources") or []:
        if one.split("-")[0] not in KINDS:
            raise Unknown(f"the kind of resource of {one}")
        yield at.ec2_need(KINDS[one.split("-")[0]], one, **asked(pairs(at.params.get("Tags"))))


def role(at: At, name: str, action: str = "", account: str = "", **more) -> Need:
    account = account or at.account
    found = iam_backends[account]["aws"]
    held = next((one for one in found.roles.values() if one.name == name), None)
    arn = held.arn if held else f"arn:aws:iam::{account}:role/{name}"
    return Need(action or at.action, arn, {**tagged(tags_of(held), "aws", "iam"), **more})


def on_role(at: At):
    yield role(at, at.params["RoleName"])


def assume_role(at: At):
    arn = at.params["RoleArn"]
    yield role(at, arn.rsplit("/", 1)[-1], account=arn.split(":")[4], **{"sts:rolesessionname": at.params.get("RoleSessionName")})


def zone_of(at: At, key: str) -> str:
    return f"arn:aws:route53:::hostedzone/{at.params[key].rsplit('/', 1)[-1]}"


def change_records(at: At):
    """Names are normalised as its condition keys want: lower case, without the last dot.
    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html"""
    changes = at.params["ChangeBatch"]["Changes"]
    key = "route53:changeresourcerecordsets"
    yield Need(at.action, zone_of(at, "HostedZoneId"), {
        f"{key}normalizedrecordnames": [one["ResourceRecordSet"]["Name"].rstrip(".").lower() for one in changes],
        f"{key}recordtypes": [one["ResourceRecordSet"]["Type"] for one in changes],
        f"{key}actions": [one["Action"] for one in changes],
    })


def route53_tags(at: At):
    for one in at.params.get("ResourceIds") or [at.params["ResourceId"]]:
        yield Need(at.action, f"arn:aws:route53:::{at.params['ResourceType']}/{one}")


def group(at: At, name: str, **more) -> Need:
    held = autoscaling_backends[at.account][at.region].autoscaling_groups.get(name)
    arn = held.arn if held else at.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")
    return Need(at.action, arn, {**tagged(pairs(held.tags) if held else {}, "aws", "autoscaling"), **more})


def groups_tags(at: At):
    tags = at.params.get("Tags") or []
    for name in sorted({one["ResourceId"] for one in tags}):
        yield group(at, name, **asked(pairs([one for one in tags if one["ResourceId"] == name])))


def schedule(at: At):
    yield Need(at.action, at.arn("scheduler", f"schedule/{at.params.get('GroupName') or 'default'}/{at.params['Name']}"))
    target = at.params.get("Target")
    if target:
        arn = target["RoleArn"]
        yield role(at, arn.rsplit("/", 1)[-1], "iam:PassRole", **{"iam:passedtoservice": "scheduler.amazonaws.com"})


def schedule_group(at: At, arn: str = "", action: str = "", **more) -> Need:
    arn = arn or at.arn("scheduler", f"schedule-group/{at.params['Name']}")
    return Need(action or at.action, arn, {**tagged(scheduler_backends[at.account][at.region].tagger.get_tag_dict_for_resource(arn), "aws"), **more})


def create_schedule_group(at: At):
    given = asked(pairs(at.params.get("Tags")))
    yield schedule_group(at, **given)
    if given:
        yield schedule_group(at, action="scheduler:TagResource", **given)


def delete_schedule_group(at: At):
    yield schedule_group(at)
    yield Need("scheduler:DeleteSchedule", at.arn("scheduler", f"schedule/{at.params['Name']}/*"))


def fis(at: At, kind: str, number: str, action: str = "", **more) -> Need:
    arn = at.arn("fis", f"{kind}/{number}")
    return Need(action or at.action, arn, {**tagged(fis_backends[at.account][at.region].tagger.get_tag_dict_for_resource(arn), "aws"), **more})


def start_experiment(at: At):
    given = asked(at.params.get("tags") or {})
    yield fis(at, "experiment-template", at.params["experimentTemplateId"])
    yield fis(at, "experiment", "*", **given)
    if given:
        yield fis(at, "experiment", "*", "fis:TagResource", **given)


def on_zone(key: str):
    return lambda at: [Need(at.action, zone_of(at, key))]


def on_health_check(at: At):
    return [Need(at.action, f"arn:aws:route53:::healthcheck/{at.params['HealthCheckId']}")]


def on_group(at: At):
    return [group(at, at.params["AutoScalingGroupName"])]


TABLE = {
    "ec2:DescribeInstanceAttribute": of_ids("instance", "InstanceId"),
    "ec2:StartInstances": of_ids("instance", "InstanceIds"),
    "ec2:StopInstances": of_ids("instance", "InstanceIds"),
    "ec2:CreateNetworkAcl": create_network_acl,
    "ec2:CreateNetworkAclEntry": of_ids("network-acl", "NetworkAclId"),
    "ec2:DeleteNetworkAclEntry": of_ids("network-acl", "NetworkAclId"),
    "ec2:DeleteNetworkAcl": of_ids("network-acl", "NetworkAclId"),
    "ec2:ReplaceNetworkAclAssociation": replace_association,
    "ec2:ModifyVpcEndpoint": of_ids("vpc-endpoint", "VpcEndpointId"),
    "ec2:CreateTags": ec2_tags,
    "ec2:DeleteTags": ec2_tags,
    **{f"iam:{name}": on_role for name in ("GetRole", "ListRoleTags", "GetRolePolicy", "ListRolePolicies", "ListAttachedRolePolicies", "PutRolePolicy", "DeleteRolePolicy")},
    "sts:AssumeRole": assume_role,
    "route53:GetHostedZone": on_zone("Id"),
    "route53:ListResourceRecordSets": on_zone("HostedZoneId"),
    "route53:ChangeResourceRecordSets": change_records,
    "route53:GetChange": lambda at: [Need(at.action, f"arn:aws:route53:::change/{at.params['Id'].rsplit('/', 1)[-1]}")],
    "route53:ChangeTagsForResource": route53_tags,
    "route53:ListTagsForResource": route53_tags,
    "route53:ListTagsForResources": route53_tags,
    **{f"route53:{name}": on_health_check for name in ("GetHealthCheck", "UpdateHealthCheck", "GetHealthCheckStatus")},
    **{f"autoscaling:{name}": on_group for name in ("SuspendProcesses", "ResumeProcesses", "SetDesiredCapacity")},
    "autoscaling:CreateOrUpdateTags": groups_tags,
    "autoscaling:DeleteTags": groups_tags,
    **{f"scheduler:{name}": schedule for name in ("CreateSchedule", "GetSchedule", "DeleteSchedule")},
    "scheduler:CreateScheduleGroup": create_schedule_group,
    "scheduler:DeleteScheduleGroup": delete_schedule_group,
    "scheduler:GetScheduleGroup": lambda at: [schedule_group(at)],
    "scheduler:TagResource": lambda at: [schedule_group(at, at.params["ResourceArn"], **asked(pairs(at.params.get("Tags"))))],
    "scheduler:ListTagsForResource": lambda at: [schedule_group(at, at.params["ResourceArn"])],
    "fis:GetExperimentTemplate": lambda at: [fis(at, "experiment-template", at.params["id"])],
    "fis:StartExperiment": start_experiment,
    "fis:GetExperiment": lambda at: [fis(at, "experiment", at.params["id"])],
    "fis:ListExperimentResolvedTargets": lambda at: [fis(at, "experiment", at.params["experimentId"])],
    "fis:StopExperiment": lambda at: [fis(at, "experiment", at.params["id"])],
    "fis:GetSafetyLever": lambda at: [fis(at, "safety-lever", at.params["id"])],
    "cloudwatch:DescribeAlarms": lambda at: [Need(at.action, at.arn("cloudwatch", "alarm:*"))],
}
UNSCOPED = {
    "iam:ListRoles", "iam:GetAccountAuthorizationDetails", "route53:TestDNSAnswer", "route53:ListHostedZones", "route53:ListHostedZonesByName", "route53:ListHealthChecks", "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribePolicies", "autoscaling:DescribeTags", "scheduler:ListSchedules", "scheduler:ListScheduleGroups", "fis:ListExperiments",
    "fis:ListExperimentTemplates",
}
