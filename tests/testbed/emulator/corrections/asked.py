"""What services refuse once they know who asks: firedrill asks with such calls whether it would be allowed."""

import re

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend
from moto.ec2.models.vpcs import VPCEndPoint
from moto.fis.exceptions import FISException
from moto.fis.models import FISBackend
from moto.scheduler.models import EventBridgeSchedulerBackend

from ..refusals import Refusal
from . import restores

PROCESSES = {"Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "ReplaceUnhealthy",
             "ScheduledActions"}


@restores("Auto Scaling", "autoscaling/ec2/APIReference/API_SuspendProcesses.html")
def unknown_process_is_refused() -> None:
    """moto: a process that there is not is suspended. AWS: ValidationError."""
    def guarded(name: str):
        original = getattr(AutoScalingBackend, name)

        def called(self, group_name, scaling_processes):
            unknown = [one for one in scaling_processes or [] if one not in PROCESSES]
            if unknown:
                raise ValidationError(f"The process {unknown[0]} is not a valid process type.")
            return original(self, group_name, scaling_processes)
        setattr(AutoScalingBackend, name, called)

    for name in ("suspend_processes", "resume_processes"):
        guarded(name)


@restores("Auto Scaling", "autoscaling/ec2/APIReference/API_Tag.html")
def long_group_tag_is_refused() -> None:
    """moto: a group's tag of any length. AWS: ValidationError above 256 characters."""
    original = AutoScalingBackend.create_or_update_tags

    def tagged(self, tags):
        if any(len(one.get("Value") or "") > 256 for one in tags):
            raise ValidationError("1 validation error detected: Value at 'tags.1.member.value' failed to satisfy constraint: length less than or equal to 256")
        return original(self, tags)

    AutoScalingBackend.create_or_update_tags = tagged


@restores("FIS", "fis/latest/APIReference/API_StartExperiment.html")
def experiment_token_has_no_space() -> None:
    """moto: any client token. AWS: ValidationException for one with white space."""
    original = FISBackend.start_experiment

    def started(self, client_token=None, *rest, **more):
        if client_token is not None and not re.fullmatch(r"\S+", client_token):
            raise FISException("ValidationException", "clientToken: must match pattern [\\S]+")
        return original(self, client_token, *rest, **more)

    FISBackend.start_experiment = started


@restores("Scheduler", "scheduler/latest/APIReference/API_CreateSchedule.html")
def schedule_expression_is_read() -> None:
    """moto: any expression. AWS: ValidationException for one that is none."""
    original = EventBridgeSchedulerBackend.create_schedule

    def created(self, *rest, **more):
        if not re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)|(rate|cron)\([^)]+\)", more["schedule_expression"]):
            raise Refusal("ValidationException", f"Invalid Schedule Expression {more['schedule_expression']}.")
        return original(self, *rest, **more)

    EventBridgeSchedulerBackend.create_schedule = created


@restores("VPC endpoint", "AWSEC2/latest/APIReference/API_DescribeVpcEndpoints.html")
def endpoints_by_id() -> None:
    """moto: an HTML 500 for the filter vpc-endpoint-id. AWS: those endpoints."""
    original = VPCEndPoint.get_filter_value

    def value(self, filter_name, method_name=None):
        return self.id if filter_name == "vpc-endpoint-id" else original(self, filter_name, method_name)

    VPCEndPoint.get_filter_value = value
