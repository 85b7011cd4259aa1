"""Instances and tags."""

import fnmatch
import time

from moto.ec2 import utils
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.instances import InstanceResponse
from moto.ec2.responses.tags import TagResponse

from . import restores

CODES = {"pending": 0, "running": 16, "stopping": 64, "stopped": 80}
# How long an instance is stopping or pending: so many reads of it, or so many milliseconds. `scripts` sets it.
TRANSITION = {"reads": 1, "ms": 0}


def begin(instance: Instance, state: str, to: str) -> None:
    """From now on in transition."""
    instance._state.name, instance._state.code = state, CODES[state]
    instance.transition = {"to": to, "reads": TRANSITION["reads"], "until": time.monotonic() + TRANSITION["ms"] / 1000}


def settle(instances) -> None:
    """Ends the transitions whose time has come, or that were read often enough."""
    for instance in instances:
        transition = getattr(instance, "transition", None)
        if transition and transition["reads"] <= 0 and time.monotonic() >= transition["until"]:
            instance._state.name, instance._state.code = transition["to"], CODES[transition["to"]]
            instance.transition = None


def all_of(backend):
    return (instance for reservation in backend.reservations.values() for instance in reservation.instances)


@restores("EC2", "AWSEC2/latest/APIReference/API_StopInstances.html")
def stopping_takes_time() -> None:
    """moto: `stopping` and `pending` are only in the answer of the call; the next read says stopped or running. AWS: they last."""
    stop, start, describe = Instance.stop, Instance.start, InstanceResponse.describe_instances

    def stopped(self):
        before = self._state.name
        previous = stop(self)
        if before in ("running", "pending"):
            begin(self, "stopping", "stopped")
        elif before == "stopping":
            self._state.name, self._state.code = before, CODES[before]
        return previous

    def started(self):
        before = self._state.name
        previous = start(self)
        if before == "stopped":
            begin(self, "pending", "running")
        elif before == "pending":
            self._state.name, self._state.code = before, CODES[before]
        return previous

    def described(self):
        settle(all_of(self.ec2_backend))
        result = describe(self)
        for reservation in result.result.get("Reservations", []):
            for instance in reservation.instances if hasattr(reservation, "instances") else reservation["Instances"]:
                if getattr(instance, "transition", None):
                    instance.transition["reads"] -= 1
        return result

    Instance.stop, Instance.start, InstanceResponse.describe_instances = stopped, started, described


@restores("EC2", "AWSEC2/latest/APIReference/API_StopInstances.html")
def call_says_where_it_stands() -> None:
    """moto: the answer to a stop says `stopping` for what was stopped already, a start `pending` for what runs. AWS: the state that it is in."""
    def corrected(name: str, key: str):
        original = getattr(InstanceResponse, name)

        def answered(self):
            result = original(self)
            for row in result.result[key]:
                state = self.ec2_backend.get_instance(row["InstanceId"])._state
                row["CurrentState"] = {"Code": state.code, "Name": state.name}
            return result
        setattr(InstanceResponse, name, answered)

    corrected("stop_instances", "StoppingInstances")
    corrected("start_instances", "StartingInstances")


@restores("EC2", "AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html")
def states_allow_or_refuse() -> None:
    """moto: a terminated or stopping instance can be started, a pending one stopped. AWS: IncorrectInstanceState, and none of the call's instances changes."""
    def guarded(name: str, allowed: tuple, doing: str):
        original = getattr(InstanceBackend, name)

        def called(self, instance_ids):
            settle(all_of(self))
            for instance in self.get_multi_instances_by_id(instance_ids):
                if instance._state.name not in allowed:
                    raise EC2ClientError("IncorrectInstanceState", f"The instance '{instance.id}' is not in a state from which it can be {doing}.")
            return original(self, instance_ids)
        setattr(InstanceBackend, name, called)

    guarded("start_instances", ("stopped", "running", "pending"), "started")
    guarded("stop_instances", ("running", "stopping", "stopped"), "stopped")


@restores("EC2", "AWSEC2/latest/APIReference/API_CreateTags.html")
def tags_need_a_resource() -> None:
    """moto: network ACLs and endpoints that do not exist can be tagged. AWS: an error that says so."""
    original = TagResponse.create_tags

    def create(self):
        for one in self._get_param("Resources", []):
            held = {"acl": ("network_acls", "InvalidNetworkAclID"), "vpce": ("vpc_end_points", "InvalidVpcEndpointId")}.get(one.split("-")[0])
            if held and one not in getattr(self.ec2_backend, held[0]):
                raise EC2ClientError(f"{held[1]}.NotFound", f"The ID '{one}' does not exist")
        return original(self)

    TagResponse.create_tags = create


@restores("EC2", "AWSEC2/latest/UserGuide/Using_Filtering.html")
def one_value_of_a_filter_is_enough() -> None:
    """moto: of what has several values, such as the subnets of a network ACL, all or none must be asked for. AWS: the values of a filter are joined with OR."""
    original = utils.is_filter_matching

    def matches(obj, name, wanted):
        values = obj.get_filter_value(name)
        if isinstance(values, (list, set, tuple)) and isinstance(wanted, list):
            return any(fnmatch.fnmatch(str(value), pattern) for value in values for pattern in wanted)
        return original(obj, name, wanted)

    utils.is_filter_matching = matches
