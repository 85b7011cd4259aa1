"""DNS: records, changes, health checks."""

from ..check import check, tried

NUMBERS = iter(range(1, 250))


def zone(side):
    name = f"zone-{next(NUMBERS)}.example.com"
    return name, side("route53").create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]


def record(name: str, address: str, **more) -> dict:
    return {"Name": name, "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": address}], **more}


def change(side, number: str, *changes) -> str:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": one} for action, one in changes]}
    return tried(side("route53").change_resource_record_sets, HostedZoneId=number, ChangeBatch=batch)


def records(side, number: str) -> list:
    found = side("route53").list_resource_record_sets(HostedZoneId=number)["ResourceRecordSets"]
    return [f"{one.get('SetIdentifier')}={one['Weight']}" for one in found if one["Type"] == "A"]


@check("swap ok, undo ok, stale 400 InvalidChangeBatch, half a batch changes ['east=100']")
def exact_and_atomic_changes(side):
    name, number = zone(side)
    prior, ours = (record(f"www.{name}", "192.0.2.1", SetIdentifier="east", Weight=weight) for weight in (100, 0))
    change(side, number, ("CREATE", prior))
    swap = change(side, number, ("DELETE", prior), ("CREATE", ours))
    undo = change(side, number, ("DELETE", ours), ("CREATE", prior))
    stale = change(side, number, ("DELETE", ours), ("CREATE", prior))
    # The second half cannot be done: nothing of the first may stay.
    change(side, number, ("CREATE", record(f"www.{name}", "192.0.2.2", SetIdentifier="west", Weight=1)), ("CREATE", prior))
    return f"swap {swap}, undo {undo}, stale {stale}, half a batch changes {records(side, number)}"


@check("PENDING, PENDING, INSYNC; unknown: 404 NoSuchChange")
def pending_first(side):
    route53, (name, number) = side("route53"), zone(side)
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record(f"www.{name}", "192.0.2.1")}]}
    made = route53.change_resource_record_sets(HostedZoneId=number, ChangeBatch=batch)["ChangeInfo"]
    seen = [made["Status"], *(route53.get_change(Id=made["Id"])["ChangeInfo"]["Status"] for _ in range(2))]
    return f"{', '.join(seen)}; unknown: {tried(route53.get_change, Id='C0000000000')}"


@check("5 records in 5 pages")
def pages_inside_a_name(side):
    name, number = zone(side)
    change(side, number, *(("CREATE", record(f"www.{name}", "192.0.2.1", SetIdentifier=one, Weight=1)) for one in "abc"))
    asked, seen, pages = {}, 0, 0
    while pages < 20:
        page = side("route53").list_resource_record_sets(HostedZoneId=number, MaxItems="1", **asked)
        seen, pages = seen + len(page["ResourceRecordSets"]), pages + 1
        if not page["IsTruncated"]:
            return f"{seen} records in {pages} pages"
        asked = {key.replace("Next", "Start"): page[key] for key in ("NextRecordName", "NextRecordType", "NextRecordIdentifier") if key in page}
    return "the same page for ever"


@check("ns-2048")
def soa_is_a_text(side):
    _, number = zone(side)
    found = side("route53").list_resource_record_sets(HostedZoneId=number)["ResourceRecordSets"]
    return next(one for one in found if one["Type"] == "SOA")["ResourceRecords"][0]["Value"][:7]


def health_check(side, **more) -> str:
    config = {"Type": "HTTPS", "FullyQualifiedDomainName": "east.example.com", "Port": 443, **more}
    return side("route53").create_health_check(CallerReference=f"check-{next(NUMBERS)}", HealthCheckConfig=config)["HealthCheck"]["Id"]


@check("version 2, then 409 HealthCheckVersionMismatch")
def health_check_version(side):
    route53, number = side("route53"), health_check(side)
    after = route53.update_health_check(HealthCheckId=number, HealthCheckVersion=1, Inverted=True)["HealthCheck"]["HealthCheckVersion"]
    return f"version {after}, then {tried(route53.update_health_check, HealthCheckId=number, HealthCheckVersion=1, Inverted=False)}"


@check("3 regions")
def updates_touch_only_what_is_sent(side):
    number = health_check(side, Regions=["us-east-1", "us-west-1", "eu-west-1"])
    side("route53").update_health_check(HealthCheckId=number, Inverted=True)
    config = side("route53").get_health_check(HealthCheckId=number)["HealthCheck"]["HealthCheckConfig"]
    return f"{len(config.get('Regions', []))} regions"


@check("404 NoSuchHealthCheck")
def tags_of_a_missing_health_check(side):
    return tried(side("route53").change_tags_for_resource, ResourceType="healthcheck", ResourceId="00000000-0000-4000-8000-000000000000",
                 AddTags=[{"Key": "k", "Value": "v"}])


@check("3 checkers: Failure")
def checkers_report_for_themselves(side):
    number = health_check(side)
    if not side.plain:
        side.post("/testbed/script", {"healthStatus": {number: "Failure: HTTP Status Code 503"}})
    found = side("route53").get_health_check_status(HealthCheckId=number)["HealthCheckObservations"]
    return f"{len(found)} checkers: {found[0]['StatusReport']['Status'][:7]}"


@check("NOERROR ['192.0.2.2'], NXDOMAIN []")
def dns_answer(side):
    name, number = zone(side)
    sets = [record(f"www.{name}", f"192.0.2.{weight + 1}", SetIdentifier=str(weight), Weight=weight) for weight in (0, 1)]
    change(side, number, *(("CREATE", one) for one in sets))
    answers = [side("route53").test_dns_answer(HostedZoneId=number, RecordName=f"{label}.{name}", RecordType="A") for label in ("www", "none")]
    return ", ".join(f"{one['ResponseCode']} {one['RecordData']}" for one in answers)
