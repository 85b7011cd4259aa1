"""What is laid out in the accounts, through boto3: two regions, each with a network, instances and a group, and what is global beside them."""

import json
from dataclasses import dataclass

import boto3
from botocore.config import Config
from moto.iam.models import iam_backends
from moto.moto_api._internal.models import moto_api_backend

from . import ACCOUNT, OTHER_ACCOUNT, REGIONS
from .identities import EVERYTHING, new_role, new_user, trusting

ZONE = "staging.example.com"
PRIVATE = {"us-east-1": "10.1", "us-west-2": "10.2"}
# Addresses of documentation, RFC 5737: what the records point to.
PUBLIC = {"us-east-1": "192.0.2.10", "us-west-2": "198.51.100.10"}
SIDES = {"us-east-1": "east", "us-west-2": "west"}
ROLES = ("app-checkout", "app-orders", "firedrill", "firedrill-undo", "firedrill-deadman", "break-glass-admin")


@dataclass
class Wanted:
    """The world in numbers: subnets and instances of each region; roles more than the named ones."""

    subnets: int = 6
    instances: int = 6
    roles: int = 0


def clear() -> None:
    """Empty accounts."""
    moto_api_backend.reset()


class Clients:
    """boto3 as a caller, at an endpoint."""

    def __init__(self, endpoint: str, key: dict):
        self.endpoint = endpoint
        self.session = boto3.session.Session(aws_access_key_id=key["accessKeyId"], aws_secret_access_key=key["secretAccessKey"],
                                             aws_session_token=key.get("sessionToken"))
        self.made = {}

    def __call__(self, service: str, region: str = REGIONS[0]):
        if (service, region) not in self.made:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=60, proxies={})
            self.made[service, region] = self.session.client(service, region_name=region, endpoint_url=self.endpoint, config=config)
        return self.made[service, region]


# Of the first world; whoever has it keeps it in a world that is laid out anew.
KEY: dict = {}


def administrator() -> dict:
    """Who lays out the world, and who a person is at first."""
    made = new_user("administrator", [EVERYTHING], ACCOUNT)
    if KEY:
        keys = iam_backends[ACCOUNT]["aws"].access_keys
        key = keys.pop(made["accessKeyId"])
        key.access_key_id, key.secret_access_key = KEY["accessKeyId"], KEY["secretAccessKey"]
        keys[key.access_key_id] = key
    KEY.update({**made, **KEY})
    return dict(KEY)


def lay_out(endpoint: str, wanted: Wanted) -> dict:
    """Everything; returns the administrator's key."""
    key = administrator()
    clients = Clients(endpoint, key)
    roles(clients, wanted)
    for region in REGIONS:
        without_default_vpc(clients("ec2", region))
        at = region_of(clients, region, wanted)
        experiments(clients("fis", region))
        alarms(clients("cloudwatch", region), at)
    names(clients("route53"))
    return key


def tags(**given) -> list:
    return [{"Key": key, "Value": value} for key, value in given.items()]


def tagged(kind: str, **given) -> list:
    return [{"ResourceType": kind, "Tags": tags(**given)}]


def without_default_vpc(ec2) -> None:
    """Accounts of companies have none, and it would be in every list."""
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        here = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        for subnet in ec2.describe_subnets(Filters=here)["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        ec2.delete_vpc(VpcId=vpc["VpcId"])


def region_of(clients, region: str, wanted: Wanted) -> dict:
    """A VPC with subnets in three zones under two network ACLs, an endpoint, instances and a group."""
    ec2, prefix = clients("ec2", region), PRIVATE[region]
    vpc = ec2.create_vpc(CidrBlock=f"{prefix}.0.0/16", AmazonProvidedIpv6CidrBlock=True, TagSpecifications=tagged("vpc", Name="staging"))["Vpc"]["VpcId"]
    acls = [network_acl(ec2, vpc, "private", 443), network_acl(ec2, vpc, "data", 5432)]
    default = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}])["NetworkAcls"][0]["NetworkAclId"]
    subnets = [subnet(ec2, vpc, region, number, wanted.subnets) for number in range(wanted.subnets)]
    associations = {one["SubnetId"]: one["NetworkAclAssociationId"]
                    for one in ec2.describe_network_acls(NetworkAclIds=[default])["NetworkAcls"][0]["Associations"]}
    for number, one in enumerate(subnets):
        ec2.replace_network_acl_association(AssociationId=associations[one], NetworkAclId=acls[number // 3 % 2])
    endpoint(ec2, vpc, region)
    image = ec2.register_image(Name="base", RootDeviceName="/dev/xvda", VirtualizationType="hvm", Architecture="x86_64",
                               BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}])["ImageId"]
    for number in range(wanted.instances):
        ec2.run_instances(ImageId=image, InstanceType="m7i.large", MinCount=1, MaxCount=1,
                          NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnets[number % len(subnets)], "AssociatePublicIpAddress": False}],
                          TagSpecifications=tagged("instance", Name=f"checkout-{number + 1}", app="checkout", env="staging"))
    group(clients, region, image, subnets[:3])
    return {"vpc": vpc, "subnets": subnets}


def subnet(ec2, vpc: str, region: str, number: int, of: int) -> str:
    """Zones a, b, c in turn: the first three are private, the next three data, and so on."""
    # A /24 each as long as they fit.
    block = f"{PRIVATE[region]}.{number}.0/24" if of <= 250 else f"{PRIVATE[region]}.{number // 4}.{number % 4 * 64}/26"
    tier = ("private", "data")[number // 3 % 2]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{region}{'abc'[number % 3]}",
                             TagSpecifications=tagged("subnet", Name=f"{tier}-{'abc'[number % 3]}-{number // 6 + 1}", tier=tier, env="staging"))
    return made["Subnet"]["SubnetId"]


def network_acl(ec2, vpc: str, name: str, port: int) -> str:
    """One of its own: a port from everywhere, and answers, for IPv4 and IPv6."""
    acl = ec2.create_network_acl(VpcId=vpc, TagSpecifications=tagged("network-acl", Name=name))["NetworkAcl"]["NetworkAclId"]
    for number, cidr in ((100, {"CidrBlock": "0.0.0.0/0"}), (101, {"Ipv6CidrBlock": "::/0"})):
        ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Protocol="6", RuleAction="allow", Egress=False, PortRange={"From": port, "To": port}, **cidr)
        ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Protocol="-1", RuleAction="allow", Egress=True, **cidr)
    ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=200, Protocol="6", RuleAction="allow", Egress=False, CidrBlock="0.0.0.0/0",
                                 PortRange={"From": 1024, "To": 65535})
    return acl


def endpoint(ec2, vpc: str, region: str) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "OwnTables", "Effect": "Allow", "Principal": "*", "Action": "dynamodb:*", "Resource": "*"}]}
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{region}.dynamodb", VpcEndpointType="Gateway", RouteTableIds=[table],
                            PolicyDocument=json.dumps(policy), TagSpecifications=tagged("vpc-endpoint", Name="dynamodb", env="staging"))


def group(clients, region: str, image: str, subnets: list) -> None:
    """`web`: three instances in three zones, tagged by the group."""
    template = clients("ec2", region).create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": image, "InstanceType": "m7i.large"})
    groups = clients("autoscaling", region)
    groups.create_auto_scaling_group(
        AutoScalingGroupName="web", MinSize=1, MaxSize=10, DesiredCapacity=3, VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Default"},
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True, "ResourceId": "web", "ResourceType": "auto-scaling-group"}
              for key, value in (("app", "web"), ("env", "staging"))])


def experiments(fis) -> None:
    fis.create_experiment_template(
        clientToken="staging", description="stop checkout", roleArn=f"arn:aws:iam::{ACCOUNT}:role/break-glass-admin", stopConditions=[{"source": "none"}],
        targets={"checkout": {"resourceType": "aws:ec2:instance", "resourceTags": {"app": "checkout"}, "selectionMode": "ALL"}},
        actions={"stop": {"actionId": "aws:ec2:stop-instances", "parameters": {"startInstancesAfterDuration": "PT5M"}, "targets": {"Instances": "checkout"}}},
        tags={"Name": "stop-checkout", "env": "staging"})


def alarms(cloudwatch, _at: dict) -> None:
    cloudwatch.put_metric_alarm(AlarmName="checkout-errors", Namespace="checkout", MetricName="Errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
                                Threshold=5, ComparisonOperator="GreaterThanThreshold", Tags=tags(env="staging"))
    cloudwatch.set_alarm_state(AlarmName="checkout-errors", StateValue="OK", StateReason="quiet")


def names(route53) -> None:
    """The zone, a health check for each side, weighted records under one name, and one plain record."""
    zone = route53.create_hosted_zone(Name=ZONE, CallerReference="staging", HostedZoneConfig={"Comment": "of the testbed", "PrivateZone": False})["HostedZone"]["Id"]
    route53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.rsplit("/", 1)[1], AddTags=tags(env="staging"))
    changes = [{"Action": "CREATE", "ResourceRecordSet": {"Name": f"status.{ZONE}", "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": "203.0.113.7"}]}}]
    for region, side in SIDES.items():
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": f"{side}.{ZONE}", "Port": 443, "ResourcePath": "/healthz", "RequestInterval": 10,
                  "FailureThreshold": 3, "Inverted": False, "Regions": ["us-east-1", "us-west-1", "us-west-2"]}
        check = route53.create_health_check(CallerReference=side, HealthCheckConfig=config)["HealthCheck"]["Id"]
        route53.change_tags_for_resource(ResourceType="healthcheck", ResourceId=check, AddTags=tags(Name=f"checkout-{side}", env="staging", region=region))
        changes.append({"Action": "CREATE", "ResourceRecordSet": {
            "Name": f"checkout.{ZONE}", "Type": "A", "SetIdentifier": side, "Weight": 100 if side == "east" else 1, "TTL": 30,
            "ResourceRecords": [{"Value": PUBLIC[region]}], "HealthCheckId": check}})
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def roles(clients, wanted: Wanted) -> None:
    iam = clients("iam")
    own = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["dynamodb:*", "ec2:Describe*"], "Resource": "*"}]}
    for name in (*ROLES, *(f"app-{number:04}" for number in range(wanted.roles))):
        given = {"tier": "checkout", "env": "staging"} if name in ROLES[:2] else {"env": "staging"}
        trust = trusting(ACCOUNT)
        if name == "firedrill-deadman":
            trust["Statement"].extend(trusting(ACCOUNT, "scheduler.amazonaws.com")["Statement"])
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), MaxSessionDuration=43200, Tags=tags(**given))
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(own if name.startswith("app-") else EVERYTHING))
    new_role("firedrill", [EVERYTHING], OTHER_ACCOUNT, trusted=ACCOUNT)
