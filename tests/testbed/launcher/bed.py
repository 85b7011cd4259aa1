"""The whole testbed: a resolver and two clusters in one directory, watched until someone ends it."""

import json
import os
import select
import shutil
import signal
import socket
import sys
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from . import Failed
from .aws import Emulator
from .build import program
from .cluster import Cluster, answers, private
from .process import STOPPING, Component, Ports, start_of, wait_for
from .world import Wanted

REGIONS = {"east": "us-east-1", "west": "us-west-2"}
# Faults that an environment lets drills use.
FAULTS = ("nodeCordon", "nodeDrain", "podKill", "workloadScale", "egressBlackhole", "dnsBlackhole", "serviceBlackhole")

# What a cluster's CoreDNS forwards to, as a VPC's resolver: AWS names have addresses (of documentation, RFC 5737 and 3849), others do not exist.
RESOLVER = """\
. {
    bind 127.0.0.1
    template IN A amazonaws.com {
        answer "{{ .Name }} 30 IN A 192.0.2.53"
    }
    template IN AAAA amazonaws.com {
        answer "{{ .Name }} 30 IN AAAA 2001:db8::53"
    }
    template ANY ANY {
        rcode NXDOMAIN
    }
}
"""


SOCKET = "orders.sock"


def share(total: int, parts: int) -> list:
    """As even as it goes: the first ones get one more."""
    return [total // parts + (number < total % parts) for number in range(parts)]


class Bed:
    def __init__(self, directory: Path, components: Path, names: list, nodes: int, pods: int, deployments: int, disruptions: str,
                 aws: bool = False):
        self.directory, self.program = directory, components
        self.aws = Emulator(directory) if aws else None
        ports = Ports()
        resolver = ports.take()
        (directory / "Resolver").write_text(RESOLVER)
        command = [program(components, "coredns"), f"-dns.port={resolver}", f"-conf={directory / 'Resolver'}"]
        self.resolver, self.resolver_port = Component("resolver", "both", command, directory / "resolver.log"), resolver
        self.clusters = [
            Cluster(Wanted(name, REGIONS[name], nodes, pods, deployments, disruptions), directory, components, ports, resolver)
            for name, nodes, pods in zip(names, share(nodes, len(names)), share(pods, len(names)))
        ]

    def components(self):
        yield self.resolver
        if self.aws:
            yield self.aws
        for cluster in self.clusters:
            yield from cluster.components.values()

    def start(self) -> None:
        """Everything is there and ready when it returns. Processes are started here, in the main thread: the kernel ends them with it."""
        self.resolver.start()
        if self.aws:
            self.aws.start()
        for cluster in self.clusters:
            cluster.start("etcd", "kube-apiserver")
        for cluster in self.clusters:
            cluster.serving()
        # Nodes and workloads before what looks after them: one look at everything instead of hundreds of events.
        self._each(Cluster.furnish)
        for cluster in self.clusters:
            cluster.start("kube-controller-manager", "kube-scheduler", "kwok", "coredns")
        self._each(Cluster.settled)
        wait_for("an answer", 30, lambda: answers(self.resolver_port, "sts.amazonaws.com"), [self.resolver])
        if self.aws:
            wait_for("an AWS account", 60, self.aws.ready, [self.aws])
        private(self.directory / "testbed.yaml", json.dumps(self._environment(), indent=2) + "\n")

    def _each(self, do) -> None:
        with ThreadPoolExecutor(len(self.clusters)) as pool:
            done, _ = wait([pool.submit(do, cluster) for cluster in self.clusters], return_when=FIRST_EXCEPTION)
            failed = next((one.exception() for one in done if one.exception()), None)
            if failed:
                # The other cluster need not get ready any more.
                STOPPING.set()
                raise failed

    def end(self) -> None:
        """At once: nothing of it is kept."""
        for component in self.components():
            if component.running():
                component.process.kill()
        for component in self.components():
            component.kill()

    def _environment(self) -> dict:
        # JSON is YAML.
        clusters = [{"name": one.name, "uid": one.uid, "region": one.wanted.region, "connection": {"kubeconfigFile": one.kubeconfig.name},
                     "dns": f"127.0.0.1:{one.dns}"} for one in self.clusters]
        spec = {"kubernetes": clusters, "allow": {"faults": FAULTS, "noDeadMan": True}, "network": {"allowPrivate": True}}
        if self.aws:
            own = self.aws.spec()
            spec = {**own, **spec, "allow": {"faults": [*FAULTS, *own["allow"]["faults"]], "noDeadMan": True}}
        return {"apiVersion": "firedrill.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "testbed"}, "spec": spec}

    def describe(self) -> dict:
        return {
            "directory": str(self.directory),
            "environment": str(self.directory / "testbed.yaml"),
            "kubectl": str(program(self.program, "kubectl")),
            "clusters": [cluster.describe() for cluster in self.clusters],
            **({"aws": self.aws.said} if self.aws else {}),
        }

    def tell(self) -> None:
        """Writes the description as it is now, for `status`."""
        new = self.directory / "testbed.json.new"
        new.write_text(json.dumps(self.describe(), indent=2) + "\n")
        new.rename(self.directory / "testbed.json")

    def watch(self, orders) -> None:
        """Carries out orders until there are no more (see `Lines`, `Socket`). A component that ends by itself ends it all."""
        while orders.carry_out(lambda line: json.dumps(self._order(line.split()))):
            for component in self.components():
                if component.ended_by_itself():
                    raise component.failed(f"ended by itself with status {component.process.returncode}")

    def _order(self, words: list) -> dict:
        try:
            verb, of, name = words
            cluster = next(one for one in self.clusters if one.name == of)
            component = cluster.components[name]
        except (ValueError, StopIteration, KeyError):
            return {"error": f"there is no such component; clusters are {', '.join(one.name for one in self.clusters)}; "
                             f"components are {', '.join(self.clusters[0].components)}"}
        try:
            if verb == "kill":
                component.kill()
            elif verb in ("freeze", "thaw") and component.running():
                component.process.send_signal(signal.SIGSTOP if verb == "freeze" else signal.SIGCONT)
            elif verb == "start" and not component.running():
                component.start()
                cluster.serving()
            self.tell()
            return {"done": " ".join(words)}
        except Failed as failed:
            return {"error": "\n".join([str(failed), *failed.below])}


class Lines:
    """Orders on standard input, each answered by a line on standard output; the end of the input ends the testbed."""

    def carry_out(self, answer) -> bool:
        if select.select([sys.stdin], [], [], 1)[0]:
            line = sys.stdin.readline()
            if not line:
                return False
            print(answer(line), flush=True)
        return True


class Socket:
    """Orders on a Unix socket, each on a connection of its own."""

    def __init__(self, directory: Path):
        # Bound from inside the directory: a socket's path may have no more than 107 bytes.
        here = os.getcwd()
        os.chdir(directory)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(SOCKET)
        self.socket.listen()
        os.chdir(here)

    def carry_out(self, answer) -> bool:
        if select.select([self.socket], [], [], 1)[0]:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rw") as stream:
                connection.settimeout(5)
                try:
                    line = stream.readline()
                    connection.settimeout(None)
                    stream.write(answer(line) + "\n")
                    stream.flush()
                except OSError:
                    pass  # Who gave the order is gone; it was carried out, or never came.
        return True


def order(directory: Path, words: list) -> None:
    """Gives an order to the launcher of an `up`."""
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(SOCKET)
        with one.makefile("rw") as stream:
            stream.write(" ".join(words) + "\n")
            stream.flush()
            answer = json.loads(stream.readline() or '{"error": "the testbed ended"}')
    if "error" in answer:
        raise Failed(*answer["error"].splitlines())


def new_directory(directory: Path) -> None:
    """Only what the testbed made is ever removed: an existing directory is never taken over."""
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise Failed(f"{directory} exists already", f"end the testbed there: scripts/testbed down --directory {directory}") from None


def run(directory: Path, components: Path, say, orders, **wanted) -> None:
    """Starts a testbed, tells what it is by `say`, carries out orders (`Lines`, or `Socket` in the directory), and ends it with all that belongs to
    it, whatever happens."""
    def stop(*_):
        STOPPING.set()
        raise SystemExit(0)

    new_directory(directory)
    bed = None
    try:
        (directory / "launcher.json").write_text(json.dumps({"pid": os.getpid(), "started": start_of(os.getpid())}))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)
        bed = Bed(directory, components, **wanted)
        bed.start()
        orders = orders(directory) if orders is Socket else orders()
        bed.tell()
        say(bed.describe())
        bed.watch(orders)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if bed is not None:
            bed.end()
        shutil.rmtree(directory, ignore_errors=True)
