"""Networks, instances and groups."""

import json
from concurrent.futures import ThreadPoolExecutor

from ..check import check, tried

NUMBERS = iter(range(1, 250))
DENY_ALL = {"Protocol": "-1", "RuleAction": "deny", "Egress": False, "CidrBlock": "0.0.0.0/0"}


def network(side, subnets: int = 1, **more):
    """(vpc, subnets, default ACL) of a network of its own."""
    ec2, number = side("ec2"), next(NUMBERS)
    vpc = ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16", **more)["Vpc"]["VpcId"]
    made = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.{number}.{one}.0/24", AvailabilityZone=f"us-east-1{'abc'[one % 3]}")["Subnet"]["SubnetId"]
            for one in range(subnets)]
    return vpc, made, acls(ec2, vpc)[0]["NetworkAclId"]


def acls(ec2, vpc: str):
    return ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkAcls"]


def association(ec2, subnet: str):
    found = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"]
    return next((one["NetworkAclAssociationId"] for acl in found for one in acl["Associations"] if one["SubnetId"] == subnet), None)


def new_acl(ec2, vpc: str, **more) -> str:
    return ec2.create_network_acl(VpcId=vpc, **more)["NetworkAcl"]["NetworkAclId"]


def instance(side, subnet: str) -> str:
    ec2 = side("ec2")
    image = ec2.register_image(Name=f"image-{next(NUMBERS)}", RootDeviceName="/dev/xvda")["ImageId"]
    return ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet)["Instances"][0]["InstanceId"]


def state(ec2, number: str) -> str:
    return ec2.describe_instances(InstanceIds=[number])["Reservations"][0]["Instances"][0]["State"]["Name"]


@check("60 of 60 associations in every read")
def one_call_at_a_time(side):
    ec2 = side("ec2")
    vpc, subnets, default = network(side, 60)
    other = new_acl(ec2, vpc)

    def move(subnet: str) -> None:
        current = association(ec2, subnet)
        for to in (other, default, other):
            current = ec2.replace_network_acl_association(AssociationId=current, NetworkAclId=to)["NewAssociationId"]

    counts = set()
    # Plain moto mostly fails at once; several times, so that it does.
    for _ in range(6 if side.plain else 1):
        with ThreadPoolExecutor(12) as pool:
            moving = [pool.submit(move, subnet) for subnet in subnets]
            while not all(one.done() for one in moving):
                counts.add(sum(len(acl["Associations"]) for acl in acls(ec2, vpc)))
            for one in moving:
                one.result()
        if counts != {60}:
            break
    return f"{'–'.join(map(str, sorted({min(counts), max(counts)})))} of 60 associations in every read"


@check("412 DryRunOperation, and no new ACL")
def dry_run_changes_nothing(side):
    ec2 = side("ec2")
    vpc, _, _ = network(side)
    said = tried(ec2.create_network_acl, VpcId=vpc, DryRun=True)
    return f"{said}, and {'no' if len(acls(ec2, vpc)) == 1 else 'a'} new ACL"


@check("pages of 5, 2")
def pages_where_moto_has_none(side):
    vpc, _, _ = network(side, 7)
    pages = side("ec2").get_paginator("describe_subnets").paginate(Filters=[{"Name": "vpc-id", "Values": [vpc]}], PaginationConfig={"PageSize": 5})
    return f"pages of {', '.join(str(len(page['Subnets'])) for page in pages)}"


@check("1 ACL for one of its subnets and one that is gone")
def one_value_of_a_filter_is_enough(side):
    ec2 = side("ec2")
    vpc, subnets, _ = network(side, 2)
    wanted = [subnets[0], "subnet-00000000000000000"]
    found = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.subnet-id", "Values": wanted}])["NetworkAcls"]
    return f"{len(found)} ACL for one of its subnets and one that is gone"


@check("400 InvalidAssociationID.NotFound")
def stale_association(side):
    ec2 = side("ec2")
    vpc, (subnet,), _ = network(side)
    stale, other = association(ec2, subnet), new_acl(ec2, vpc)
    ec2.replace_network_acl_association(AssociationId=stale, NetworkAclId=other)
    return tried(ec2.replace_network_acl_association, AssociationId=stale, NetworkAclId=other)


@check("400 InvalidNetworkAclID.NotFound, association kept")
def checks_before_effects(side):
    ec2 = side("ec2")
    _, (subnet,), _ = network(side)
    before = association(ec2, subnet)
    said = tried(ec2.replace_network_acl_association, AssociationId=before, NetworkAclId="acl-00000000000000000")
    return f"{said}, association {'kept' if association(ec2, subnet) == before else 'gone'}"


@check("400 InvalidParameterValue")
def acl_of_another_vpc(side):
    ec2 = side("ec2")
    _, (subnet,), _ = network(side)
    _, _, foreign = network(side)
    return tried(ec2.replace_network_acl_association, AssociationId=association(ec2, subnet), NetworkAclId=foreign)


@check("[(False, 32767), (False, 32768), (True, 32767), (True, 32768)]")
def new_acl_denies(side):
    ec2 = side("ec2")
    vpc, _, _ = network(side, AmazonProvidedIpv6CidrBlock=True)
    entries = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"].get("Entries", [])
    return sorted((one["Egress"], one["RuleNumber"]) for one in entries if one["RuleAction"] == "deny")


@check("400 InvalidNetworkAclEntry.NotFound")
def missing_entry(side):
    _, _, acl = network(side)
    return tried(side("ec2").delete_network_acl_entry, NetworkAclId=acl, RuleNumber=7, Egress=False)


@check("400 InvalidParameterValue, ok")
def rule_numbers(side):
    vpc, _, _ = network(side)
    acl = new_acl(side("ec2"), vpc)
    return ", ".join(tried(side("ec2").create_network_acl_entry, NetworkAclId=acl, RuleNumber=number, **DENY_ALL) for number in (32768, 32766))


@check("the same ACL again; another token's: 400 IdempotentParameterMismatch")
def acl_client_token(side):
    ec2 = side("ec2")
    vpc, _, _ = network(side)
    other, _, _ = network(side)
    one, again = (new_acl(ec2, vpc, ClientToken="token-1") for _ in range(2))
    return f"{'the same' if one == again else 'another'} ACL again; another token's: {tried(ec2.create_network_acl, VpcId=other, ClientToken='token-1')}"


@check("400 InvalidNetworkAclID.NotFound")
def unknown_acl(side):
    return tried(side("ec2").describe_network_acls, NetworkAclIds=["acl-00000000000000000"])


@check("400 InvalidParameterValue")
def default_acl_stays(side):
    _, _, acl = network(side, 0)
    return tried(side("ec2").delete_network_acl, NetworkAclId=acl)


@check("0 associations, then 0 ACLs")
def acls_go_with_their_vpc(side):
    ec2 = side("ec2")
    vpc, (subnet,), _ = network(side)
    ec2.delete_subnet(SubnetId=subnet)
    left = len(acls(ec2, vpc)[0]["Associations"])
    ec2.delete_vpc(VpcId=vpc)
    return f"{left} associations, then {len(acls(ec2, vpc))} ACLs"


@check("private")
def created_subnets_are_private(side):
    # In a zone that has none yet: the corrected world has none in this region, plain moto its default ones.
    ec2 = side("ec2", "eu-west-1")
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", AvailabilityZone="eu-west-1a")
    made = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]
    return "public" if made["MapPublicIpOnLaunch"] or made["DefaultForAz"] else "private"


def vpc_endpoint(side) -> str:
    vpc, _, _ = network(side)
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    made = side("ec2").create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.dynamodb", VpcEndpointType="Gateway", PolicyDocument=policy)
    return made["VpcEndpoint"]["VpcEndpointId"]


@check("1 statement")
def reset_policy(side):
    ec2, number = side("ec2"), vpc_endpoint(side)
    ec2.modify_vpc_endpoint(VpcEndpointId=number, ResetPolicy=True)
    policy = json.loads(ec2.describe_vpc_endpoints(VpcEndpointIds=[number])["VpcEndpoints"][0]["PolicyDocument"])
    return f"{len(policy['Statement'])} statement{'' if len(policy['Statement']) == 1 else 's'}"


@check("400 InvalidParameter")
def policy_is_json(side):
    return tried(side("ec2").modify_vpc_endpoint, VpcEndpointId=vpc_endpoint(side), PolicyDocument="{")


@check("stopping, stopped, pending, running")
def stopping_takes_time(side):
    ec2 = side("ec2")
    number = instance(side, network(side)[1][0])
    ec2.stop_instances(InstanceIds=[number])
    seen = [state(ec2, number), state(ec2, number)]
    ec2.start_instances(InstanceIds=[number])
    return ", ".join([*seen, state(ec2, number), state(ec2, number)])


@check("stopped, running")
def call_says_where_it_stands(side):
    ec2 = side("ec2")
    number = instance(side, network(side)[1][0])
    running = ec2.start_instances(InstanceIds=[number])["StartingInstances"][0]["CurrentState"]["Name"]
    ec2.stop_instances(InstanceIds=[number])
    state(ec2, number), state(ec2, number)
    return f"{ec2.stop_instances(InstanceIds=[number])['StoppingInstances'][0]['CurrentState']['Name']}, {running}"


@check("400 IncorrectInstanceState, and of two instances none started")
def states_allow_or_refuse(side):
    ec2, subnet = side("ec2"), network(side)[1][0]
    ended, stopped = instance(side, subnet), instance(side, subnet)
    ec2.stop_instances(InstanceIds=[stopped])
    state(ec2, stopped), state(ec2, stopped)
    ec2.terminate_instances(InstanceIds=[ended])
    said = tried(ec2.start_instances, InstanceIds=[stopped, ended])
    return f"{said}, and of two instances {'none' if state(ec2, stopped) == 'stopped' else 'one'} started"


@check("400 InvalidNetworkAclID.NotFound")
def tags_need_a_resource(side):
    return tried(side("ec2").create_tags, Resources=["acl-00000000000000000"], Tags=[{"Key": "k", "Value": "v"}])


def group(side, **more) -> str:
    name = f"group-{next(NUMBERS)}"
    _, subnets, _ = network(side, 3)
    ec2 = side("ec2")
    image = ec2.register_image(Name=name, RootDeviceName="/dev/xvda")["ImageId"]
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "m7i.large"})
    side("autoscaling").create_auto_scaling_group(AutoScalingGroupName=name, MinSize=1, MaxSize=10, DesiredCapacity=3, VPCZoneIdentifier=",".join(subnets),
                                                  LaunchTemplate={"LaunchTemplateName": name, "Version": "$Default"}, **more)
    return name


def members(side, name: str):
    return side("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]["Instances"]


def scaled(side, name: str, *capacities: int):
    for one in capacities:
        side("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=one)
    return members(side, name)


def suspend(side, name: str, *processes: str) -> None:
    side("autoscaling").suspend_processes(AutoScalingGroupName=name, ScalingProcesses=list(processes))


@check("3 instances of 6 desired")
def suspended_launch_launches_nothing(side):
    name = group(side)
    suspend(side, name, "Launch")
    return f"{len(scaled(side, name, 6))} instances of 6 desired"


@check("3 instances of 1 desired")
def suspended_terminate_terminates_nothing(side):
    name = group(side)
    suspend(side, name, "Terminate")
    return f"{len(scaled(side, name, 1))} instances of 1 desired"


@check("3 while suspended, 6 after it")
def resumed_group_catches_up(side):
    name = group(side)
    suspend(side, name, "Launch")
    before = len(scaled(side, name, 6))
    side("autoscaling").resume_processes(AutoScalingGroupName=name, ScalingProcesses=["Launch"])
    return f"{before} while suspended, {len(members(side, name))} after it"


@check("3 of 3 originals left, in 3 zones")
def scaling_in_keeps_the_balance(side):
    name = group(side)
    before = {one["InstanceId"] for one in members(side, name)}
    after = scaled(side, name, 6, 3)
    return f"{len(before & {one['InstanceId'] for one in after})} of 3 originals left, in {len({one['AvailabilityZone'] for one in after})} zones"


@check("3 zones")
def launching_spreads_over_subnets(side):
    return f"{len({one['AvailabilityZone'] for one in members(side, group(side))})} zones"


@check("400 ValidationError, 400 ValidationError")
def capacity_within_limits(side):
    name = group(side)
    return ", ".join(tried(side("autoscaling").set_desired_capacity, AutoScalingGroupName=name, DesiredCapacity=one) for one in (11, 0))


@check("400 ValidationError")
def unknown_group(side):
    return tried(side("autoscaling").suspend_processes, AutoScalingGroupName="absent")


@check("ReplaceUnhealthy, Launch, Terminate; User suspended at")
def suspension_says_why(side):
    name = group(side)
    suspend(side, name, "ReplaceUnhealthy")
    suspend(side, name, "Launch", "Terminate")
    found = side("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]["SuspendedProcesses"]
    return f"{', '.join(one['ProcessName'] for one in found)}; {found[0]['SuspensionReason'][:17]}"
