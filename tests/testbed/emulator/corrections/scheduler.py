"""EventBridge Scheduler: schedules and their groups. They never fire here: a test's own player carries out their targets."""

from moto.scheduler.exceptions import ScheduleExists
from moto.scheduler.models import EventBridgeSchedulerBackend
from moto.scheduler.responses import EventBridgeSchedulerResponse

from ..refusals import Refusal
from . import restores


@restores("Scheduler", "scheduler/latest/APIReference/API_CreateSchedule.html")
def group_must_exist() -> None:
    """moto: an HTML 500 for a schedule in a group that is not there, and for deleting such a group. AWS: ResourceNotFoundException."""
    create, delete = EventBridgeSchedulerBackend.create_schedule, EventBridgeSchedulerBackend.delete_schedule_group

    def missing(self, name):
        if (name or "default") not in self.schedule_groups:
            raise Refusal("ResourceNotFoundException", f"Schedule group {name} does not exist.")

    def created(self, *rest, **more):
        missing(self, more["group_name"])
        return create(self, *rest, **more)

    def deleted(self, name):
        missing(self, name)
        return delete(self, name)

    EventBridgeSchedulerBackend.create_schedule, EventBridgeSchedulerBackend.delete_schedule_group = created, deleted


@restores("Scheduler", "scheduler/latest/APIReference/API_CreateScheduleGroup.html")
def group_is_made_once() -> None:
    """moto: a group of the same name replaces the first one, with its schedules. AWS: ConflictException."""
    original = EventBridgeSchedulerBackend.create_schedule_group

    def create(self, name, tags):
        if name in self.schedule_groups:
            raise Refusal("ConflictException", f"Schedule group {name} already exists.")
        return original(self, name, tags or [])

    EventBridgeSchedulerBackend.create_schedule_group = create


@restores("Scheduler", "scheduler/latest/APIReference/API_CreateSchedule.html")
def conflict_is_a_409() -> None:
    """moto: a 400. AWS: ConflictException is a 409."""
    ScheduleExists.code = 409


@restores("Scheduler", "scheduler/latest/APIReference/API_CreateSchedule.html")
def schedule_client_token() -> None:
    """moto: ConflictException when a call is repeated with its ClientToken. AWS: the first answer again."""
    for name in ("create_schedule", "create_schedule_group"):
        original = getattr(EventBridgeSchedulerResponse, name)

        def create(self, original=original, name=name):
            token = self._get_param("ClientToken")
            group = self._get_param("GroupName") or "default"
            made = (name, group, self.uri.split("?")[0].split("/")[-1], token)
            known = self.scheduler_backend.__dict__.setdefault("client_tokens", {})
            there = name == "create_schedule_group" or group in self.scheduler_backend.schedule_groups
            if token and made in known and there:
                return known[made]
            known[made] = original(self)
            return known[made]
        setattr(EventBridgeSchedulerResponse, name, create)
