"""Auto Scaling groups: what suspended processes hold back, limits, and which instances come and go."""

from collections import Counter
from datetime import datetime, timezone

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

from . import restores


def suspended(group: FakeAutoScalingGroup, process: str) -> bool:
    return process in getattr(group, "_suspended_processes", [])


@restores("Auto Scaling", "autoscaling/ec2/userguide/as-suspend-resume-processes.html")
def suspended_launch_launches_nothing() -> None:
    """moto: a group with `Launch` suspended launches all the same. AWS: the desired capacity changes, and no instance comes."""
    original = FakeAutoScalingGroup.replace_autoscaling_group_instances

    def launch(self, count_needed, propagated_tags):
        if not suspended(self, "Launch"):
            original(self, count_needed, propagated_tags)

    FakeAutoScalingGroup.replace_autoscaling_group_instances = launch


@restores("Auto Scaling", "autoscaling/ec2/userguide/as-suspend-resume-processes.html")
def suspended_terminate_terminates_nothing() -> None:
    """moto: a group with `Terminate` suspended scales in all the same. AWS: the desired capacity changes, and every instance stays."""
    original = FakeAutoScalingGroup.set_desired_capacity

    def scale(self, new_capacity):
        wanted = self.min_size if new_capacity is None else new_capacity
        if suspended(self, "Terminate") and wanted < len(self.active_instances()):
            self.desired_capacity = wanted
            return
        original(self, new_capacity)

    FakeAutoScalingGroup.set_desired_capacity = scale


@restores("Auto Scaling", "autoscaling/ec2/APIReference/API_ResumeProcesses.html")
def resumed_group_catches_up() -> None:
    """moto: resuming changes nothing but the list. AWS: a resumed `Launch` or `Terminate` brings the group to its desired capacity."""
    original = AutoScalingBackend.resume_processes

    def resume(self, group_name, scaling_processes):
        original(self, group_name, scaling_processes)
        group = self.autoscaling_groups[group_name]
        group.set_desired_capacity(group.desired_capacity)

    AutoScalingBackend.resume_processes = resume


@restores("Auto Scaling", "autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html")
def scaling_in_keeps_the_balance() -> None:
    """moto: scaling in ends the instances of an unordered set, often all originals. AWS: from the zone that has most; which one there is open, here the newest."""
    original = FakeAutoScalingGroup.set_desired_capacity

    def scale(self, new_capacity):
        wanted = self.min_size if new_capacity is None else new_capacity
        excess = len(self.active_instances()) - int(wanted or 0)
        staying = list(self.instance_states)
        going = []
        for _ in range(max(excess, 0)):
            free = [one for one in staying if not one.protected_from_scale_in]
            if free:
                most = Counter(one.instance.placement for one in staying)
                at = max(range(len(free)), key=lambda place: (most[free[place].instance.placement], place))
                staying.remove(free[at])
                going.append(free[at])
        # moto ends the first ones, and keeps a set.
        self.instance_states = going + staying
        original(self, new_capacity)
        self.instance_states = [one for one in staying if one in self.instance_states] + [one for one in self.instance_states if one not in staying]

    FakeAutoScalingGroup.set_desired_capacity = scale


@restores("Auto Scaling", "autoscaling/ec2/userguide/auto-scaling-benefits.html")
def launching_spreads_over_subnets() -> None:
    """moto: all instances in the first subnet. AWS: in the zone that has fewest."""
    original = FakeAutoScalingGroup.replace_autoscaling_group_instances

    def launch(self, count_needed, propagated_tags):
        subnets = [one for one in (self.vpc_zone_identifier or "").split(",") if one]
        if not subnets:
            return original(self, count_needed, propagated_tags)
        every = self.vpc_zone_identifier
        try:
            for _ in range(count_needed):
                used = Counter(one.instance.subnet_id for one in self.instance_states)
                self.vpc_zone_identifier = min(subnets, key=lambda one: used[one])
                original(self, 1, propagated_tags)
        finally:
            self.vpc_zone_identifier = every

    FakeAutoScalingGroup.replace_autoscaling_group_instances = launch


@restores("Auto Scaling", "autoscaling/ec2/APIReference/API_SetDesiredCapacity.html")
def capacity_within_limits() -> None:
    """moto: any capacity. AWS: ValidationError above the maximum and below the minimum."""
    original = AutoScalingBackend.set_desired_capacity

    def scale(self, group_name, desired_capacity):
        group = self.autoscaling_groups[group_name]
        for limit, wrong, word in ((group.max_size, desired_capacity > group.max_size, "above max"), (group.min_size, desired_capacity < group.min_size, "below min")):
            if wrong:
                raise ValidationError(f"New SetDesiredCapacity value {desired_capacity} is {word} value {limit} for the AutoScalingGroup.")
        return original(self, group_name, desired_capacity)

    AutoScalingBackend.set_desired_capacity = scale


@restores("Auto Scaling", "autoscaling/ec2/APIReference/API_SuspendedProcess.html")
def suspension_says_why() -> None:
    """moto: no reason, and the order of a set. AWS: "User suspended at …", and who was suspended first stays first here."""
    suspend, resume = AutoScalingBackend.suspend_processes, AutoScalingBackend.resume_processes

    def kept_in_order(self, group_name, before):
        group = self.autoscaling_groups[group_name]
        now = group._suspended_processes
        group._suspended_processes = [one for one in before if one in now] + sorted(one for one in now if one not in before)
        since = group.__dict__.setdefault("suspended_since", {})
        group.suspended_since = {one: since.get(one) or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") for one in now}

    def suspended_(self, group_name, scaling_processes):
        before = list(self.autoscaling_groups[group_name]._suspended_processes)
        suspend(self, group_name, scaling_processes)
        kept_in_order(self, group_name, before)

    def resumed(self, group_name, scaling_processes):
        before = list(self.autoscaling_groups[group_name]._suspended_processes)
        resume(self, group_name, scaling_processes)
        kept_in_order(self, group_name, before)

    def listed(self):
        since = getattr(self, "suspended_since", {})
        return [{"ProcessName": one, "SuspensionReason": f"User suspended at {since.get(one, '')}"} for one in self._suspended_processes]

    AutoScalingBackend.suspend_processes, AutoScalingBackend.resume_processes = suspended_, resumed
    FakeAutoScalingGroup.suspended_processes = property(listed, FakeAutoScalingGroup.suspended_processes.fset)


@restores("Auto Scaling", "autoscaling/ec2/APIReference/CommonErrors.html")
def unknown_group() -> None:
    """moto: an HTML 500. AWS: ValidationError."""
    # The last one here: the other corrections rely on the group.
    def guarded(name: str):
        original = getattr(AutoScalingBackend, name)

        def called(self, group_name, *rest, **more):
            if group_name not in self.autoscaling_groups:
                raise ValidationError(f"AutoScalingGroup name not found - no such group: {group_name}")
            return original(self, group_name, *rest, **more)
        setattr(AutoScalingBackend, name, called)

    for name in ("set_desired_capacity", "suspend_processes", "resume_processes"):
        guarded(name)

    for name in ("create_or_update_tags", "delete_tags"):
        original = getattr(AutoScalingBackend, name)

        def tagged(self, tags, original=original):
            for tag in tags:
                if tag["ResourceId"] not in self.autoscaling_groups:
                    raise ValidationError(f"AutoScalingGroup name not found - no such group: {tag['ResourceId']}")
            return original(self, tags)
        setattr(AutoScalingBackend, name, tagged)
