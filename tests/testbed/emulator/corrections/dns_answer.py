"""What Route 53 would answer to a resolver: weights and health checks, as scripts set them, decide."""

import random

from moto.core.responses import ActionResult
from moto.route53 import urls
from moto.route53.responses import Route53

from . import restores
from .route53 import HEALTH


@restores("Route 53", "Route53/latest/APIReference/API_TestDNSAnswer.html")
def dns_answer() -> None:
    """moto: an HTML 404. AWS: what it would answer now; here by weights and health checks, without aliases and other ways of routing."""
    def answered(self):
        zone = self.backend.get_hosted_zone(self._get_param("HostedZoneId"))
        name = self._get_param("RecordName").rstrip(".").lower() + "."
        type_ = self._get_param("RecordType")
        named = [one for one in zone.rrsets if one.name.rstrip(".").lower() + "." == name]
        sets = [one for one in named if one.type == type_]
        chosen = routed(self.backend, sets)
        return ActionResult({"Nameserver": "ns-1.awsdns-01.com", "RecordName": name, "RecordType": type_, "Protocol": "UDP",
                             "RecordData": list(chosen.records or []) if chosen else [], "ResponseCode": "NOERROR" if named else "NXDOMAIN"})

    Route53.test_dns_answer = answered
    urls.url_paths[r"{0}/(?P<api_version>[\d_-]+)/testdnsanswer$"] = Route53.dispatch


def routed(backend, sets: list):
    """One of the sets; https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html"""
    weighted = [one for one in sets if int(one.weight or 0) > 0]
    # All weights 0: all sets. All unhealthy: as if all were healthy.
    candidates = weighted or sets
    candidates = [one for one in candidates if healthy(backend, one)] or candidates
    if not candidates:
        return None
    return random.choices(candidates, [int(one.weight or 0) or 1 for one in candidates])[0]


def healthy(backend, one) -> bool:
    check = backend.health_checks.get(one.health_check_id) if one.health_check_id else None
    if check is None:
        return True
    name = backend.resource_tags.get(check.id, {}).get("Name")
    good = HEALTH.get(check.id, HEALTH.get(name, "Success")).startswith("Success")
    return good != bool(check.inverted)
