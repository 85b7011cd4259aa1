"""Everything that is laid out or was made, as one JSON in a fixed order: equal before and after means that nothing was left behind.

Read from the models themselves, not through calls: it is in no log, meets no script, and takes no permission. No times, no request ids. Terminated
instances are gone for AWS within the hour, and are left out.
"""

from moto.autoscaling.models import autoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models import ec2_backends
from moto.fis.models import fis_backends
from moto.iam.models import iam_backends
from moto.route53.models import route53_backends
from moto.scheduler.models import scheduler_backends

from . import ACCOUNT, OTHER_ACCOUNT, REGIONS
from .corrections.ec2 import all_of, settle
from .corrections.route53 import values
from .permissions import tags_of
from .requests import plain
from .rights import parsed

GROUP = "aws:autoscaling:groupName"


def everything() -> dict:
    """`{account: {global | region: {kind: {identity: state}}}}`."""
    found = {}
    for account in (ACCOUNT, OTHER_ACCOUNT):
        found[account] = {"global": {"roles": roles(account), **route53(account)}, **{region: of_region(account, region) for region in REGIONS}}
    return plain(found)


def of_region(account: str, region: str) -> dict:
    ec2 = ec2_backends[account][region]
    tags = {number: dict(sorted(held.items())) for number, held in ec2.tags.items()}
    return {
        "instances": instances(ec2, tags),
        "vpcs": {one.id: {"cidr": one.cidr_block, "tags": tags.get(one.id, {})} for one in ec2.vpcs.values()},
        "subnets": subnets(ec2, tags),
        "networkAcls": {one.id: network_acl(one, tags) for one in ec2.network_acls.values()},
        "vpcEndpoints": {one.id: {"service": one.service_name, "vpc": one.vpc_id, "type": one.vpc_endpoint_type, "state": one.state,
                                  "policy": parsed(one.policy_document), "tags": tags.get(one.id, {})}
                         for one in ec2.vpc_end_points.values() if one.state != "deleted"},
        "networkInterfaces": {one.id: {"subnet": one.subnet.id, "status": one.status, "instance": one.instance.id if one.instance else None,
                                       "tags": tags.get(one.id, {})}
                              for one in ec2.enis.values() if not (one.instance and (in_group(one.instance, tags) or gone(one.instance)))},
        "autoScalingGroups": {one.name: group(one) for one in autoscaling_backends[account][region].autoscaling_groups.values()},
        "scheduleGroups": schedule_groups(scheduler_backends[account][region]),
        "schedules": {f"{one.group_name}/{one.name}": {"expression": one.schedule_expression, "state": one.state, "target": one.target}
                      for held in scheduler_backends[account][region].schedule_groups.values() for one in held.schedules.values()},
        **fis(fis_backends[account][region]),
        "alarms": {one.name: {"state": one.state_value, "metric": one.metric_name, "threshold": one.threshold}
                   for one in cloudwatch_backends[account][region].alarms.values()},
    }


def in_group(instance, tags: dict) -> bool:
    return GROUP in tags.get(instance.id, {})


def gone(instance) -> bool:
    return instance._state.name in ("terminated", "shutting-down")


def instances(ec2, tags: dict) -> dict:
    """Those of no group; a group's are in its own entry, by number: it may replace them."""
    settle(all_of(ec2))
    return {one.id: {"state": one._state.name, "subnet": one.subnet_id, "zone": one.placement.zone, "type": one.instance_type, "privateIp": one.private_ip,
                     "publicIp": one.public_ip, "tags": tags.get(one.id, {})}
            for one in all_of(ec2) if not gone(one) and not in_group(one, tags)}


def subnets(ec2, tags: dict) -> dict:
    """With the network ACL of each. Which association that is by, changes with every replacement, and stands with the ACL."""
    acls = {one.subnet_id: acl.id for acl in ec2.network_acls.values() for one in acl._associations.values()}
    return {one.id: {"vpc": one.vpc_id, "cidr": one.cidr_block, "zone": one.availability_zone, "networkAcl": acls.get(one.id), "tags": tags.get(one.id, {})}
            for zone in ec2.subnets.values() for one in zone.values()}


def network_acl(acl, tags: dict) -> dict:
    entries = {f"{'egress' if one.egress else 'ingress'} {int(one.rule_number):05}": {
        "action": one.rule_action, "protocol": str(one.protocol), "cidr": one.cidr_block, "ipv6": one.ipv6_cidr_block,
        "ports": one.port_range, "icmp": one.icmp_type_code} for one in acl.network_acl_entries}
    return {"vpc": acl.vpc_id, "default": acl.default, "entries": dict(sorted(entries.items())), "tags": tags.get(acl.id, {}),
            "associations": dict(sorted((one.subnet_id, number) for number, one in acl._associations.items()))}


def group(one) -> dict:
    return {"desired": one.desired_capacity, "min": one.min_size, "max": one.max_size, "suspended": sorted(one._suspended_processes),
            "instances": len(one.active_instances()), "instanceIds": sorted(state.instance.id for state in one.active_instances()),
            "states": sorted(state.instance._state.name for state in one.active_instances()),
            "tags": {tag["Key"]: [tag["Value"], bool(tag.get("PropagateAtLaunch"))] for tag in sorted(one.tags, key=lambda tag: tag["Key"])}}


def schedule_groups(scheduler) -> dict:
    return {one.name: {"tags": scheduler.tagger.get_tag_dict_for_resource(one.arn)} for one in scheduler.schedule_groups.values()}


def fis(backend) -> dict:
    return {
        "experimentTemplates": {one.id: {"description": one.description, "targets": one.targets, "actions": one.actions,
                                         "tags": backend.tagger.get_tag_dict_for_resource(one.arn)} for one in backend.experiment_templates.values()},
        # They stay for 120 days, and cannot be deleted.
        "experiments": {one.id: {"template": one.experiment_template_id, "state": one._status, "tags": backend.tagger.get_tag_dict_for_resource(one.arn)}
                        for one in backend.experiments.values()},
    }


def roles(account: str) -> dict:
    iam = iam_backends[account]["aws"]
    return {one.name: {"arn": one.arn, "inline": {name: parsed(text) for name, text in sorted(one.policies.items())},
                       "attached": sorted(one.managed_policies), "trust": parsed(one.assume_role_policy_document),
                       "tags": tags_of(one)} for one in iam.roles.values()}


def route53(account: str) -> dict:
    backend = route53_backends[account]["aws"]
    return {
        "hostedZones": {zone.name: {"id": zone.resource_id, "tags": dict(backend.resource_tags.get(zone.resource_id, {})),
                                    "records": dict(sorted((record_name(one), without_nothing(values(one))) for one in zone.rrsets))}
                        for zone in backend.zones.values()},
        "healthChecks": {one.id: {"version": one.health_check_version, "config": without_nothing(one.health_check_config),
                                  "tags": dict(backend.resource_tags.get(one.id, {}))} for one in backend.health_checks.values()},
    }


def record_name(one) -> str:
    return " ".join([one.name, one.type, *([one.set_identifier] if one.set_identifier else [])])


def without_nothing(held: dict) -> dict:
    return {key: value for key, value in held.items() if value is not None}
