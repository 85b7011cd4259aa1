"""What is in a cluster: nodes in zones, Deployments with disruption budgets and Services, and what kube-system of a real one has."""

from dataclasses import dataclass, field

NAMESPACES = ("catalog", "checkout", "payments", "search")

# kubeadm's, but for the interval of `reload`: its 30 s would only make tests wait.
COREFILE = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload 2s
    loadbalance
}
"""


@dataclass
class Wanted:
    """One cluster, in numbers."""

    name: str
    region: str
    nodes: int
    pods: int
    deployments: int
    # maxUnavailable of each PodDisruptionBudget: a number or a percentage.
    disruptions: str
    zones: list = field(default_factory=list)

    def __post_init__(self):
        self.zones = self.zones or [f"{self.region}{letter}" for letter in "abc"]


def objects(wanted: Wanted):
    """Lists of pairs of path and object; a list needs those before it."""
    yield [("/api/v1/namespaces", plain("v1", "Namespace", name)) for name in NAMESPACES]
    yield [("/api/v1/nodes", node(wanted, number)) for number in range(wanted.nodes)]
    yield [*system(), *(pair for number in range(wanted.deployments) for pair in deployment(wanted, number))]


def plain(api: str, kind: str, name: str, **more) -> dict:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **more.pop("metadata", {})}, **more}


def node(wanted: Wanted, number: int) -> dict:
    zone = wanted.zones[number % len(wanted.zones)]
    name = f"{wanted.name}-{zone[-1]}-{number // len(wanted.zones) + 1:02}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "m7i.2xlarge",
        "topology.kubernetes.io/region": wanted.region,
        "topology.kubernetes.io/zone": zone,
    }
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    return plain("v1", "Node", name, metadata={"labels": labels}, spec={"providerID": f"aws:///{zone}/i-{number:017x}"},
                 status={"capacity": room, "allocatable": room})


def template(app: str, spec: dict) -> dict:
    container = {"name": "app", "image": "registry.example.com/app:1", "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}}}
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container], **spec}}


def deployment(wanted: Wanted, number: int):
    """A Deployment over all zones, its budget and its Service."""
    namespace = NAMESPACES[number % len(NAMESPACES)]
    app = f"app-{number // len(NAMESPACES) + 1}"
    replicas = wanted.pods // wanted.deployments + (number < wanted.pods % wanted.deployments)
    selector = {"matchLabels": {"app": app}}
    spread = [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector}]
    unavailable = wanted.disruptions if wanted.disruptions.endswith("%") else int(wanted.disruptions)
    apps, policy, core = f"/apis/apps/v1/namespaces/{namespace}", f"/apis/policy/v1/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    yield f"{policy}/poddisruptionbudgets", plain("policy/v1", "PodDisruptionBudget", app, spec={"maxUnavailable": unavailable, "selector": selector})
    yield f"{core}/services", plain("v1", "Service", app, spec={"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]})
    spec = {"replicas": replicas, "selector": selector, "template": template(app, {"topologySpreadConstraints": spread})}
    yield f"{apps}/deployments", plain("apps/v1", "Deployment", app, metadata={"labels": {"app": app}}, spec=spec)


def system():
    """CoreDNS as it is installed, run outside (see coredns/), and an agent on every node: what a drain has to leave alone."""
    core, apps, rbac = "/api/v1/namespaces/kube-system", "/apis/apps/v1/namespaces/kube-system", "/apis/rbac.authorization.k8s.io/v1"
    yield f"{core}/configmaps", plain("v1", "ConfigMap", "coredns", data={"Corefile": COREFILE})
    yield f"{core}/serviceaccounts", plain("v1", "ServiceAccount", "coredns")
    rules = [{"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
             {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
             # A kubelet reads it for the pod; here CoreDNS does.
             {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["coredns"], "verbs": ["get", "list", "watch"]}]
    yield f"{rbac}/clusterroles", plain("rbac.authorization.k8s.io/v1", "ClusterRole", "system:coredns", rules=rules)
    yield f"{rbac}/clusterrolebindings", plain(
        "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "system:coredns",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
        subjects=[{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
    )
    labels = {"k8s-app": "kube-dns"}
    volume = {"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}
    pod = template("coredns", {"serviceAccountName": "coredns", "volumes": [volume], "priorityClassName": "system-cluster-critical"})
    pod["metadata"]["labels"] = labels
    yield f"{apps}/deployments", plain("apps/v1", "Deployment", "coredns", metadata={"labels": labels},
                                       spec={"replicas": 2, "selector": {"matchLabels": labels}, "template": pod})
    dns = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    yield f"{core}/services", plain("v1", "Service", "kube-dns", metadata={"labels": labels}, spec={"clusterIP": "10.96.0.10", "selector": labels, "ports": dns})
    agent = template("node-agent", {"tolerations": [{"operator": "Exists"}]})
    yield f"{apps}/daemonsets", plain("apps/v1", "DaemonSet", "node-agent", spec={"selector": {"matchLabels": {"app": "node-agent"}}, "template": agent})


def nodes_ready(api, wanted: Wanted) -> bool:
    nodes = api.get("/api/v1/nodes")["items"]
    # A new node is tainted until the controller manager has seen it Ready.
    return len(nodes) == wanted.nodes and all(ready(one) and not one["spec"].get("taints") for one in nodes)


def ready(node: dict) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", []))


def available(api) -> bool:
    """Every Deployment, every DaemonSet, and every budget has been counted."""
    deployments = api.get("/apis/apps/v1/deployments")["items"]
    agents = api.get("/apis/apps/v1/daemonsets")["items"]
    budgets = api.get("/apis/policy/v1/poddisruptionbudgets")["items"]
    return (
        all(one["status"].get("availableReplicas", 0) == one["spec"]["replicas"] for one in deployments)
        and all(one["status"].get("numberAvailable", 0) == one["status"].get("desiredNumberScheduled") for one in agents)
        and all(one["status"].get("currentHealthy", -1) == one["status"].get("expectedPods", 0) for one in budgets)
    )
