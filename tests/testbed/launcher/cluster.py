"""One cluster: its files, its components in the order of their start, and what it says about itself."""

import json
import secrets
import socket
import struct
import subprocess
from pathlib import Path

from . import world
from .api import Api
from .build import program
from .process import Component, Ports, wait_for

# Who the components are. Every other token of a cluster is a service account's.
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    # Stands for all kubelets at once, which no role of Kubernetes covers.
    "kwok": ("kwok", "system:masters"),
    "coredns": ("system:serviceaccount:kube-system:coredns", "system:serviceaccounts,system:serviceaccounts:kube-system"),
}

# What a test may ask the audit log: who changed what, when, and how it was answered. Bodies are kept of what is no component's.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}, {"group": "", "resources": ["events"]},
                                        {"group": "events.k8s.io", "resources": ["events"]}]},
        {"level": "Metadata", "users": ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver", "kwok"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:kube-system"]},
        # A request for a token has a token in its answer only, but who knows what the next version says in its question.
        {"level": "Metadata", "resources": [{"group": "", "resources": ["serviceaccounts/token", "secrets"]}]},
        {"level": "Request"},
    ],
}


class Cluster:
    """`wanted` says name, region, zones, nodes, and what is deployed."""

    def __init__(self, wanted: world.Wanted, directory: Path, components: Path, ports: Ports, resolver: int):
        self.wanted, self.name = wanted, wanted.name
        self.directory = directory / wanted.name
        self.kubeconfig = directory / f"{wanted.name}.kubeconfig"
        self.audit = self.directory / "audit.jsonl"
        self.uid = None
        self.etcd, self.peer, self.port, self.dns, self.dns_ready = (ports.take() for _ in range(5))
        self.tokens = {name: secrets.token_hex(16) for name in USERS}
        self.certificate = self.directory / "certificates" / "apiserver.crt"
        self.api = Api(self.port, self.certificate, self.tokens["admin"])
        self.directory.mkdir()
        self._files(components)
        self.components = {name: Component(name, self.name, [program(components, name), *arguments], self.directory / f"{name}.log")
                           for name, arguments in self._arguments(components, ports, resolver).items()}

    def _files(self, components: Path) -> None:
        subprocess.run([components / "bin" / "keys", self.directory / "service-accounts.key"], check=True)
        (self.directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
        lines = [f'{self.tokens[name]},{user},{name}' + (f',"{groups}"' if groups else "") for name, (user, groups) in USERS.items()]
        private(self.directory / "tokens.csv", "\n".join(lines) + "\n")
        for name in USERS:
            private(self.kubeconfig if name == "admin" else self.directory / f"{name}.kubeconfig", json.dumps(self._kubeconfig(name), indent=1))

    def _kubeconfig(self, name: str) -> dict:
        # JSON is YAML. The certificate is named, not copied: the API server writes it when it starts.
        at = str(self.certificate) if name != "admin" else f"{self.name}/certificates/apiserver.crt"
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": f"testbed-{self.name}",
            "clusters": [{"name": self.name, "cluster": {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": at}}],
            "users": [{"name": name, "user": {"token": self.tokens[name]}}],
            "contexts": [{"name": f"testbed-{self.name}", "context": {"cluster": self.name, "user": name}}],
        }

    def _arguments(self, components: Path, ports: Ports, resolver: int) -> dict:
        at, key = self.directory, self.directory / "service-accounts.key"
        loopback, certificates = "http://127.0.0.1", at / "certificates"
        quick = ["--kube-api-qps=1000", "--kube-api-burst=2000"]
        return {
            "etcd": [
                f"--data-dir={at / 'etcd'}", "--unsafe-no-fsync", f"--listen-client-urls={loopback}:{self.etcd}", f"--advertise-client-urls={loopback}:{self.etcd}",
                f"--listen-peer-urls={loopback}:{self.peer}", f"--initial-advertise-peer-urls={loopback}:{self.peer}", f"--initial-cluster=default={loopback}:{self.peer}",
            ],
            "kube-apiserver": [
                f"--etcd-servers={loopback}:{self.etcd}", "--bind-address=127.0.0.1", f"--secure-port={self.port}", f"--cert-dir={certificates}",
                "--authorization-mode=RBAC", f"--token-auth-file={at / 'tokens.csv'}", "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
                f"--audit-policy-file={at / 'audit-policy.json'}", f"--audit-log-path={self.audit}", "--audit-log-mode=blocking", "--audit-log-maxsize=10000",
                # Loopback is no address for endpoints; nothing in the cluster calls the API server through its Service.
                "--endpoint-reconciler-type=none", "--profiling=false",
            ],
            "kube-controller-manager": [
                f"--kubeconfig={at / 'kube-controller-manager.kubeconfig'}", "--secure-port=0", "--leader-elect=false", "--use-service-account-credentials",
                f"--service-account-private-key-file={key}", f"--root-ca-file={self.certificate}", "--controllers=*,-nodeipam,-route,-cloud-node-lifecycle",
                # The simulated kubelets may be late on a busy machine, or while a test holds the API server down: no reason to evict pods.
                "--node-monitor-grace-period=15m", f"--cert-dir={certificates}", *quick,
            ],
            "kube-scheduler": [f"--kubeconfig={at / 'kube-scheduler.kubeconfig'}", "--secure-port=0", "--leader-elect=false", f"--cert-dir={certificates}", *quick],
            "kwok": [f"--kubeconfig={at / 'kwok.kubeconfig'}", "--manage-all-nodes=true", f"--config={components / 'stages.yaml'}", "--node-lease-duration-seconds=300"],
            "coredns": [
                f"-kubeconfig={at / 'coredns.kubeconfig'}", f"-port={self.dns}", f"-ready=127.0.0.1:{self.dns_ready}", f"-health=127.0.0.1:{ports.take()}",
                f"-metrics=127.0.0.1:{ports.take()}", f"-upstream=127.0.0.1:{resolver}", f"-mount={at / 'Corefile'}", f"-conf={at / 'Corefile'}",
            ],
        }

    def start(self, *names: str) -> None:
        for name in names:
            self.components[name].start()

    def serving(self) -> None:
        """Waits for the API server."""
        wait_for("its API", 60, self.api.ready, [self.components["kube-apiserver"], self.components["etcd"]])

    def furnish(self) -> None:
        """Lays out nodes and workloads."""
        self.uid = self.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        for objects in world.objects(self.wanted):
            self.api.create_all(objects)

    def settled(self) -> None:
        """Waits for nodes, workloads and DNS."""
        running = list(self.components.values())
        wait_for("Ready nodes", 120, lambda: world.nodes_ready(self.api, self.wanted), [self.components["kwok"], *running])
        wait_for("Available workloads", 240, lambda: world.available(self.api), [self.components["kube-controller-manager"], *running])
        wait_for("an answer", 60, lambda: answers(self.dns, "kubernetes.default.svc.cluster.local"), [self.components["coredns"], *running])

    def describe(self) -> dict:
        """What a test or a person needs."""
        return {
            "name": self.name,
            "region": self.wanted.region,
            "uid": self.uid,
            "server": f"https://127.0.0.1:{self.port}",
            "kubeconfig": str(self.kubeconfig),
            "audit": str(self.audit),
            "dns": f"127.0.0.1:{self.dns}",
            "logs": str(self.directory),
            "pids": {name: component.process.pid for name, component in self.components.items() if component.running()},
        }


def private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)


def answers(port: int, name: str) -> bool:
    """Whether DNS there has an address of that name: RFC 1035, one question."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.5)
        try:
            one.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1), ("127.0.0.1", port))
            answer = one.recv(4096)
        except OSError:
            return False
    number, flags, _, count = struct.unpack(">4H", answer[:8])
    return number == 7 and flags & 0xF == 0 and count > 0
