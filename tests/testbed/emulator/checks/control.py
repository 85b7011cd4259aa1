"""Identities and permissions, schedules, experiments, alarms."""

import json

import botocore.session
from botocore.config import Config

from ..check import check, tried

NUMBERS = iter(range(1, 250))
ALLOW = {"Effect": "Allow", "Action": "*", "Resource": "*"}
AT = {"ScheduleExpression": "at(2099-01-01T00:00:00)", "FlexibleTimeWindow": {"Mode": "OFF"},
      "Target": {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:startInstances", "RoleArn": "arn:aws:iam::123456789012:role/r", "Input": "{}"}}


def fresh(word: str) -> str:
    return f"{word}-{next(NUMBERS)}"


def role(side, **more) -> str:
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    return side("iam").create_role(RoleName=fresh("role"), AssumeRolePolicyDocument=json.dumps(trust), **more)["Role"]["Arn"]


@check("401 AuthFailure, 403 InvalidClientTokenId")
def unknown_credentials_are_refused(side):
    nobody = {"accessKeyId": "AKIA0000000000000000", "secretAccessKey": "none"}
    return f"{tried(side('ec2', key=nobody).describe_vpcs)}, {tried(side('iam', key=nobody).list_roles)}"


@check("403 ExpiredToken")
def expired_credentials_are_refused(side):
    said = side("sts").assume_role(RoleArn=role(side), RoleSessionName="test")["Credentials"]
    key = {"accessKeyId": said["AccessKeyId"], "secretAccessKey": said["SecretAccessKey"], "sessionToken": said["SessionToken"]}
    if not side.plain:
        # moto has no way to let an hour pass; with a wrong clock it would still ask nobody.
        side.post("/testbed/identity", {"expire": said["AccessKeyId"]})
    return tried(side("iam", key=key).list_roles)


@check("allowed: ok, not allowed: 403 AccessDenied")
def policies_decide(side):
    name, number = fresh("decide"), side("route53").create_hosted_zone(Name=f"{fresh('zone')}.example.com", CallerReference=fresh("zone"))["HostedZone"]["Id"]
    some = side.user(name, {"Effect": "Allow", "Action": "route53:ListResourceRecordSets", "Resource": "*"})
    with side.enforcing():
        allowed = tried(side("route53", key=some).list_resource_record_sets, HostedZoneId=number)
        return f"allowed: {allowed}, not allowed: {tried(side('route53', key=some).list_hosted_zones)}"


@check("before: 403 UnauthorizedOperation, after: ok")
def conditions_decide(side):
    def seen(until: str) -> str:
        deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"DateLessThan": {"aws:CurrentTime": until}}}
        some = side.user(fresh("time"), ALLOW, deny)
        with side.enforcing():
            return tried(side("ec2", key=some).describe_vpcs)
    return f"before: {seen('2099-01-01T00:00:00Z')}, after: {seen('2001-01-01T00:00:00Z')}"


@check("own: 412 DryRunOperation, other: 403 UnauthorizedOperation")
def resources_decide(side):
    ec2 = side("ec2", "eu-central-1")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    image = ec2.register_image(Name="image", RootDeviceName="/dev/xvda")["ImageId"]
    made = [ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnet,
                              TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "app", "Value": app}]}])["Instances"][0]["InstanceId"]
            for app in ("own", "other")]
    some = side.user(fresh("scoped"), {"Effect": "Allow", "Action": "ec2:StopInstances", "Resource": "arn:aws:ec2:eu-central-1:*:instance/*",
                                       "Condition": {"StringEquals": {"ec2:ResourceTag/app": "own"}}})
    with side.enforcing():
        seen = [tried(side("ec2", "eu-central-1", some).stop_instances, InstanceIds=[one], DryRun=True) for one in made]
    return f"own: {seen[0]}, other: {seen[1]}"


@check("403 AccessDenied")
def role_must_exist(side):
    return tried(side("sts").assume_role, RoleArn="arn:aws:iam::111122223333:role/absent", RoleSessionName="test")


@check("400 ValidationError, ok")
def session_within_the_roles_limit(side):
    arn = role(side, MaxSessionDuration=3600)
    return ", ".join(tried(side("sts").assume_role, RoleArn=arn, RoleSessionName="test", DurationSeconds=one) for one in (7200, 3600))


@check("404 ResourceNotFoundException, 404 ResourceNotFoundException")
def group_must_exist(side):
    scheduler = side("scheduler")
    return f"{tried(scheduler.create_schedule, Name='s', GroupName='absent', **AT)}, {tried(scheduler.delete_schedule_group, Name='absent')}"


@check("409 ConflictException, its schedules kept")
def group_is_made_once(side):
    scheduler, name = side("scheduler"), fresh("group")
    scheduler.create_schedule_group(Name=name)
    scheduler.create_schedule(Name="s", GroupName=name, **AT)
    said = tried(scheduler.create_schedule_group, Name=name)
    return f"{said}, its schedules {'kept' if scheduler.list_schedules(GroupName=name)['Schedules'] else 'gone'}"


@check("409 ConflictException")
def conflict_is_a_409(side):
    name = fresh("schedule")
    side("scheduler").create_schedule(Name=name, **AT)
    return tried(side("scheduler").create_schedule, Name=name, **AT)


@check("ok, ok, another token 409 ConflictException")
def schedule_client_token(side):
    name = fresh("schedule")
    one, again, other = (tried(side("scheduler").create_schedule, Name=name, ClientToken=token, **AT) for token in ("a", "a", "b"))
    return f"{one}, {again}, another token {other}"


@check("running after 20 reads; stopping, then stopped")
def running_until_stopped(side):
    fis = side("fis")
    template = fis.create_experiment_template(clientToken=fresh("token"), description="d", roleArn=role(side), stopConditions=[{"source": "none"}],
                                              actions={"wait": {"actionId": "aws:fis:wait", "parameters": {"duration": "PT1H"}}})["experimentTemplate"]["id"]
    number = fis.start_experiment(clientToken=fresh("token"), experimentTemplateId=template)["experiment"]["id"]
    read = lambda: fis.get_experiment(id=number)["experiment"]["state"]["status"]  # noqa: E731
    last = [read() for _ in range(20)][-1]
    stopped = fis.stop_experiment(id=number)["experiment"]["state"]["status"]
    return f"{last} after 20 reads; {stopped}, then {[read() for _ in range(4)][-1]}"


@check("engaged")
def safety_lever(side):
    if not side.plain:
        side.post("/testbed/script", {"safetyLever": "engaged"})
    try:
        return side("fis").get_safety_lever(id="default")["safetyLever"]["state"]["status"]
    finally:
        if not side.plain:
            side.post("/testbed/script", {"safetyLever": None})


@check("OK")
def alarms_over_cbor(side):
    """The Rust SDK chooses CBOR by itself; boto3 knows it, and chooses JSON."""
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    original = loader.load_service_model

    def only_cbor(*names, **more):
        model = original(*names, **more)
        if "metadata" in model:
            model = {**model, "metadata": {**model["metadata"], "protocols": ["smithy-rpc-v2-cbor"]}}
        return model

    loader.load_service_model = only_cbor
    cloudwatch = session.create_client("cloudwatch", "us-east-1", endpoint_url=side.endpoint, aws_access_key_id=side.key["accessKeyId"],
                                       aws_secret_access_key=side.key["secretAccessKey"], config=Config(retries={"total_max_attempts": 1}))
    name = fresh("alarm")
    cloudwatch.put_metric_alarm(AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                                ComparisonOperator="GreaterThanThreshold")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="quiet")
    return cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"]
