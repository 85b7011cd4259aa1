"""Fault Injection Service: experiments go on until they are stopped. They act on nothing here."""

from moto.fis.models import Experiment, fis_backends

from . import restores

# How many reads a state before the last one takes.
TRANSITION = {"reads": 1}


def end_experiment(number: str, status: str) -> str:
    """What the end of its actions would do. Raises KeyError for one that is not there."""
    for account in fis_backends.values():
        for backend in account.values():
            if number in backend.experiments:
                backend.experiments[number].status = status
                return status
    raise KeyError(number)


@restores("FIS", "fis/latest/APIReference/API_GetExperiment.html")
def running_until_stopped() -> None:
    """moto: `completed` at the third read, whatever its actions last. AWS: running as long as its actions do; stopping takes time too."""
    original = Experiment.__init__

    def made(self, *rest, **more):
        original(self, *rest, **more)
        self._transitions = [("pending", "initiating"), ("initiating", "running"), ("stopping", "stopped")]
        self.reads = 0

    def status(self):
        if self.reads > TRANSITION["reads"]:
            self._status, self.reads = self._get_next_status(self._status), 0
        return self._status

    def set_status(self, value):
        self._status, self.reads = value, 0

    Experiment.__init__ = made
    Experiment.status = property(status, set_status)
    Experiment.advance = lambda self: setattr(self, "reads", self.reads + 1)
