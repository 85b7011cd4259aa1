"""What services refuse once they know who asks."""

from ..check import check, tried
from .control import AT, fresh


def group(side) -> str:
    scaling, name = side("autoscaling"), fresh("group")
    scaling.create_launch_configuration(LaunchConfigurationName=name, ImageId="ami-12c6146b", InstanceType="t3.micro")
    scaling.create_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=1, DesiredCapacity=0, LaunchConfigurationName=name,
                                      AvailabilityZones=["us-east-1a"])
    return name


@check("400 ValidationError, suspended: 0")
def unknown_process_is_refused(side):
    scaling, name = side("autoscaling"), group(side)
    said = tried(scaling.suspend_processes, AutoScalingGroupName=name, ScalingProcesses=["firedrill-asks"])
    found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0]["SuspendedProcesses"]
    return f"{said}, suspended: {len(found)}"


@check("400 ValidationError")
def long_group_tag_is_refused(side):
    name = group(side)
    tag = {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": "k", "Value": "x" * 257, "PropagateAtLaunch": False}
    return tried(side("autoscaling").create_or_update_tags, Tags=[tag])


@check("400 ValidationException")
def experiment_token_has_no_space(side):
    fis = side("fis")
    template = fis.create_experiment_template(
        clientToken=fresh("template"), description="d", roleArn="arn:aws:iam::123456789012:role/r", stopConditions=[{"source": "none"}], targets={},
        actions={"wait": {"actionId": "aws:fis:wait", "parameters": {"duration": "PT1M"}}})["experimentTemplate"]["id"]
    return tried(fis.start_experiment, experimentTemplateId=template, clientToken="a b")


@check("400 ValidationException")
def schedule_expression_is_read(side):
    return tried(side("scheduler").create_schedule, Name=fresh("never"), **{**AT, "ScheduleExpression": "at(never)"})


@check("found: 1")
def endpoints_by_id(side):
    ec2 = side("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = [ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3")["VpcEndpoint"]["VpcEndpointId"] for _ in range(2)]
    return f"found: {len(ec2.describe_vpc_endpoints(Filters=[{'Name': 'vpc-endpoint-id', 'Values': made[:1]}])['VpcEndpoints'])}"
