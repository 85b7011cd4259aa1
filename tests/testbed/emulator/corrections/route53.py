"""Record sets, changes and health checks."""

import random
import string

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.route53.exceptions import InvalidActionValue, InvalidInput, NoSuchHealthCheck
from moto.route53.models import FakeZone, RecordSet, Route53Backend, reverse_domain_name
from moto.route53.responses import Route53
from moto.route53.utils import validate_domain_name

from ..refusals import Refusal
from . import restores

# How many reads of a change say PENDING. `scripts` sets it.
TRANSITION = {"reads": 1}
# What the checkers report of a health check, by its id or by its tag Name; success where nothing stands. `scripts` sets it.
HEALTH: dict = {}
CHECKERS = ("us-east-1", "us-west-1", "eu-west-1")
VALUES = ("ttl", "records", "weight", "region", "health_check_id", "alias_target", "failover", "geo_location", "multi_value_answer")


def record_set(sent: dict) -> RecordSet:
    """A record set as moto keeps it, its name in the form that AWS keeps: lower case, with its last dot."""
    sent = dict(sent, Name=sent["Name"].rstrip(".").lower() + ".")
    if "ResourceRecords" in sent:
        sent["ResourceRecords"] = [one["Value"] if isinstance(one, dict) else one for one in sent["ResourceRecords"] or []]
    return RecordSet(sent)


def key(one: RecordSet) -> tuple:
    return one.name, one.type, one.set_identifier


def values(one: RecordSet) -> dict:
    found = {name: getattr(one, name) for name in VALUES}
    found["ttl"] = None if found["ttl"] is None else int(found["ttl"])
    found["records"] = sorted(found["records"] or [])
    alias = found["alias_target"]
    if alias:
        found["alias_target"] = {**alias, "DNSName": alias["DNSName"].rstrip(".").lower()}
    return found


def named(one: RecordSet) -> str:
    identifier = f", set identifier='{one.set_identifier}'" if one.set_identifier else ""
    return f"resource record set [name='{one.name}', type='{one.type}'{identifier}]"


@restores("Route 53", "Route53/latest/APIReference/API_ChangeResourceRecordSets.html")
def exact_and_atomic_changes() -> None:
    """moto: DELETE is checked against everything that ever was, CREATE of what was created once before fails, half a batch can stay.
    AWS: DELETE must give the values as they are, CREATE fails when the set is there, and a batch is carried out whole or not at all."""
    def change(self, zoneid: str, change_list: list) -> None:
        zone = self.get_hosted_zone(zoneid)
        sets, wrong = list(zone.rrsets), []
        for change in change_list:
            action, wanted = change["Action"], record_set(change["ResourceRecordSet"])
            if action not in ("CREATE", "UPSERT", "DELETE"):
                raise InvalidActionValue(action)
            validate_domain_name(wanted.name, code="InvalidChangeBatch")
            wrong.extend(refused(self, zone, sets, action, wanted))
            same = next((place for place, one in enumerate(sets) if key(one) == key(wanted)), None)
            if action == "DELETE" and same is not None:
                del sets[same]
            elif action == "UPSERT" and same is not None:
                sets[same] = wanted
            elif action != "DELETE":
                sets.append(wanted)
        if wrong:
            raise Refusal("InvalidChangeBatch", f"[{', '.join(wrong)}]")
        zone.rrsets = sets

    Route53Backend.change_resource_record_sets = change


def refused(backend, zone, sets: list, action: str, wanted: RecordSet):
    """Why a change cannot be made to these record sets: nothing, or sentences in AWS's words."""
    zone_name = zone.name.rstrip(".").lower() + "."
    same = next((one for one in sets if key(one) == key(wanted)), None)
    routed = any(one is not None for one in (wanted.weight, wanted.region, wanted.failover, wanted.geo_location, wanted.multi_value_answer))
    if wanted.name != zone_name and not wanted.name.endswith(f".{zone_name}"):
        yield f"RRSet with DNS name {wanted.name} is not permitted in zone {zone_name}"
    elif action == "DELETE":
        if same is None:
            yield f"Tried to delete {named(wanted)} but it was not found"
        elif values(same) != values(wanted):
            yield f"Tried to delete {named(wanted)} but the values provided do not match the current values"
    elif action == "CREATE" and same is not None:
        yield f"Tried to create {named(wanted)} but it already exists"
    elif routed != bool(wanted.set_identifier):
        yield f"Invalid request: expected a SetIdentifier together with a routing policy in {named(wanted)}"
    elif any(one.name == wanted.name and one.type == wanted.type and bool(one.set_identifier) != bool(wanted.set_identifier) for one in sets):
        yield (f"RRSet with DNS name {wanted.name}, type {wanted.type}, SetIdentifier {wanted.set_identifier} cannot be created as other RRSets exist with "
               "the same name and type.")
    elif wanted.health_check_id and wanted.health_check_id not in backend.health_checks:
        raise NoSuchHealthCheck(wanted.health_check_id)
    elif not wanted.alias_target and (wanted.ttl is None or not wanted.records):
        raise InvalidInput("Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]")


@restores("Route 53", "Route53/latest/APIReference/API_GetChange.html")
def pending_first() -> None:
    """moto: every change has the same id and is INSYNC at once, and one that never was is too. AWS: PENDING until the name servers have it; NoSuchChange."""
    original = Route53.change_resource_record_sets

    def change(self):
        result = original(self)
        one = {"Id": "/change/C" + "".join(random.choices(string.ascii_uppercase + string.digits, k=20)), "Status": "PENDING", "SubmittedAt": utcnow()}
        comment = (self._get_param("ChangeBatch") or {}).get("Comment")
        self.backend.__dict__.setdefault("changes", {})[one["Id"]] = [TRANSITION["reads"], one]
        result.result["ChangeInfo"] = {**one, "Comment": comment} if comment else dict(one)
        return result

    def get(self):
        wanted = "/change/" + self._get_param("Id").rsplit("/", 1)[-1]
        known = self.backend.__dict__.setdefault("changes", {}).get(wanted)
        if known is None:
            raise Refusal("NoSuchChange", f"Could not find resource with ID: {wanted.rsplit('/', 1)[-1]}")
        known[0] -= 1
        if known[0] < 0:
            known[1]["Status"] = "INSYNC"
        return ActionResult({"ChangeInfo": dict(known[1])})

    Route53.change_resource_record_sets, Route53.get_change = change, get


@restores("Route 53", "Route53/latest/APIReference/API_ListResourceRecordSets.html")
def pages_inside_a_name() -> None:
    """moto: StartRecordIdentifier does nothing, so that a page smaller than one name's weighted set comes again for ever. AWS: the list goes on behind it."""
    def listed(self):
        zone = self.backend.get_hosted_zone(self._get_param("HostedZoneId"))
        name, type_, identifier = (self._get_param(one) for one in ("StartRecordName", "StartRecordType", "StartRecordIdentifier"))
        size = self._get_int_param("MaxItems", 300)
        if type_ and not name or identifier and not type_:
            raise InvalidInput("The input is not valid")

        def place(name: str, type_: str, identifier: str):
            return reverse_domain_name(name.rstrip(".").lower() + "."), type_ or "", identifier or ""

        ordered = sorted(zone.rrsets, key=lambda one: place(one.name, one.type, one.set_identifier))
        if name:
            ordered = [one for one in ordered if place(one.name, one.type, one.set_identifier) >= place(name, type_, identifier)]
        result = {"ResourceRecordSets": ordered[:size], "IsTruncated": len(ordered) > size, "MaxItems": size}
        if len(ordered) > size:
            after = ordered[size]
            result |= {"NextRecordName": after.name, "NextRecordType": after.type, "NextRecordIdentifier": after.set_identifier}
        return ActionResult(result)

    Route53.list_resource_record_sets = listed


@restores("Route 53", "Route53/latest/DeveloperGuide/SOA-NSrecords.html")
def soa_is_a_text() -> None:
    """moto: the SOA record of a new zone is the text of a Python dictionary. AWS: the record."""
    original = FakeZone.add_rrset

    def add(self, sent):
        return original(self, {**sent, "ResourceRecords": [one["Value"] if isinstance(one, dict) else one for one in sent.get("ResourceRecords") or []]})

    FakeZone.add_rrset = add


@restores("health checks", "Route53/latest/APIReference/API_UpdateHealthCheck.html")
def health_check_version() -> None:
    """moto: the version stays 1, and any is accepted. AWS: it counts the updates, and another one is a 409 HealthCheckVersionMismatch."""
    original = Route53.update_health_check

    def update(self):
        check = self.backend.get_health_check(self._get_param("HealthCheckId"))
        given = self._get_param("HealthCheckVersion")
        if given is not None and int(given) != check.health_check_version:
            raise Refusal("HealthCheckVersionMismatch", f"The value of HealthCheckVersion in the request ({given}) doesn't match the value of "
                                                                 f"HealthCheckVersion in the health check ({check.health_check_version}).")
        result = original(self)
        check.health_check_version += 1
        return result

    Route53.update_health_check = update


@restores("health checks", "Route53/latest/APIReference/API_UpdateHealthCheck.html")
def updates_touch_only_what_is_sent() -> None:
    """moto: an update without Regions or ChildHealthChecks removes them. AWS: what is not sent stays."""
    original = Route53.update_health_check

    def update(self):
        check = self.backend.get_health_check(self._get_param("HealthCheckId"))
        before = check.regions, check.children
        result = original(self)
        if self._get_param("Regions") is None:
            check.regions = before[0]
        if self._get_param("ChildHealthChecks") is None:
            check.children = before[1]
        return result

    Route53.update_health_check = update


@restores("health checks", "Route53/latest/APIReference/API_ChangeTagsForResource.html")
def tags_of_a_missing_health_check() -> None:
    """moto: accepted. AWS: NoSuchHealthCheck."""
    original = Route53Backend.change_tags_for_resource

    def change(self, resource_type, resource_id, add_tags, remove_tag_keys):
        if resource_type == "healthcheck":
            self.get_health_check(resource_id)
        return original(self, resource_type, resource_id, add_tags, remove_tag_keys)

    Route53Backend.change_tags_for_resource = change


@restores("health checks", "Route53/latest/APIReference/API_GetHealthCheckStatus.html")
def checkers_report_for_themselves() -> None:
    """moto: one checker, which always succeeds. AWS: several, each with what it saw; here what a script says. Inverting a check changes none of it."""
    def status(self):
        number = self._get_param("HealthCheckId")
        self.backend.get_health_check(number)
        name = self.backend.resource_tags.get(number, {}).get("Name")
        seen = HEALTH.get(number, HEALTH.get(name, "Success: HTTP Status Code 200, OK"))
        return ActionResult({"HealthCheckObservations": [{"Region": region, "IPAddress": "192.0.2.99", "StatusReport": {"Status": seen, "CheckedTime": utcnow()}}
                                                         for region in CHECKERS]})

    Route53.get_health_check_status = status
