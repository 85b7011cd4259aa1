//! The AWS emulator is what the AWS tests take it for: each correction of moto seen by boto3, scripts that do what they say, and nothing left at the end.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

#[path = "testbed/aws.rs"]
mod aws;

use aws::{Aws, AwsOptions};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testbed");

/// For tests that only read, or script actions that no other test here calls.
static SHARED: LazyLock<Aws> = LazyLock::new(|| Aws::start(AwsOptions::SMALL));

fn allow(action: &[&str], resource: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]})
}

#[test]
fn boto3_sees_each_correction_and_sees_that_plain_moto_lacks_it() {
    // Starts both by itself, and compares: a correction that moto no longer needs fails here too.
    let python = SHARED.boto3("import sys; result = sys.executable", &json!({}));
    let mut command = Command::new(python.as_str().unwrap());
    command.args(["-B", "-m", "emulator.check"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed"));
    let output = command.env("PYTHONPATH", ".").stdin(Stdio::null()).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_world_is_laid_out_in_both_regions() {
    let dump = SHARED.dump();
    for region in ["us-east-1", "us-west-2"] {
        let subnets = dump.of(region, "subnets");
        assert_eq!(subnets.len(), 6);
        let zones: BTreeSet<&str> = subnets.values().map(|one| one["zone"].as_str().unwrap()).collect();
        assert_eq!(zones.len(), 3);
        let used: BTreeSet<&str> = subnets.values().map(|one| one["networkAcl"].as_str().unwrap()).collect();
        let acls = dump.of(region, "networkAcls");
        assert_eq!((used.len(), acls.len()), (2, 3), "two distinct ones in use beside the default one");
        assert!(used.iter().all(|id| acls[*id]["default"] == false));
        let distinct: BTreeSet<String> = used.iter().map(|id| acls[*id]["entries"].to_string()).collect();
        assert_eq!(distinct.len(), 2);
        let instances = dump.of(region, "instances");
        assert_eq!(instances.len(), 6);
        for instance in instances.values() {
            assert_eq!((&instance["state"], &instance["publicIp"], &instance["tags"]["app"]), (&json!("running"), &Value::Null, &json!("checkout")));
        }
        assert_eq!(dump.of(region, "autoScalingGroups")["web"]["instances"], 3);
        assert_eq!(dump.of(region, "vpcEndpoints").len(), 1);
        assert_eq!(dump.of(region, "alarms")["checkout-errors"]["state"], "OK");
    }
    let records = dump.of("global", "hostedZones")["staging.example.com."]["records"].clone();
    assert_eq!(records["checkout.staging.example.com. A east"]["weight"], 100);
    assert_eq!(records["checkout.staging.example.com. A west"]["weight"], 1);
    for role in ["app-checkout", "app-orders", "firedrill", "firedrill-undo", "firedrill-deadman", "break-glass-admin"] {
        assert!(dump.of("global", "roles").contains_key(role), "{role}");
    }
    assert!(dump.at("/444455556666/global/roles/firedrill").is_object());
}

#[test]
fn its_environment_is_one_that_firedrill_reads() {
    let directory = tempfile::tempdir().unwrap();
    let edited = directory.path().join("edited.yaml");
    SHARED.environment_with(&edited, |environment| environment["spec"]["aws"][0]["roleArn"] = "arn:aws:iam::111122223333:role/firedrill".into());
    for file in [&SHARED.environment, &edited] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
        let output = SHARED.command(command.arg("validate").arg(file)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_call_log_has_what_was_sent_by_whom_and_what_became_of_it() {
    let aws = &*SHARED;
    let alice = aws.user("alice", &[]);
    let script = "result = tried(client('iam', 'us-west-2').get_role, RoleName='absent')";
    assert_eq!(aws.boto3_as(&alice, script, &json!({}))["error"], "NoSuchEntity");
    let call = aws.calls().into_iter().rfind(|call| call.is("GetRole")).unwrap();
    assert_eq!((call.service.as_deref(), call.region.as_str(), call.status), (Some("iam"), "us-west-2", Some(404)));
    assert_eq!(call.principal.as_deref(), Some("arn:aws:iam::111122223333:user/alice"));
    assert_eq!(call.params, json!({"RoleName": "absent"}));
    assert_eq!((call.code.as_deref(), call.mutating, call.carried_out, call.answered), (Some("NoSuchEntity"), false, true, Some(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdks_understand_its_answers_and_its_errors() {
    use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
    let aws = tokio::task::block_in_place(|| &*SHARED);
    let keys = &aws.administrator;
    let keys = Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "test");
    // CloudWatch's speaks CBOR.
    let config = aws_sdk_cloudwatch::Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-west-2"));
    let cloudwatch = aws_sdk_cloudwatch::Client::from_conf(config.endpoint_url(&aws.endpoint).credentials_provider(keys.clone()).build());
    let alarms = cloudwatch.describe_alarms().alarm_names("checkout-errors").send().await.unwrap();
    assert_eq!(alarms.metric_alarms()[0].state_value().unwrap().as_str(), "OK");
    aws.script(
        &json!({"service": "cloudwatch", "region": "us-west-2", "error": {"status": 400, "code": "InvalidNextToken", "message": "odd"}, "times": 1}),
    );
    let refused = cloudwatch.describe_alarms().send().await.unwrap_err().into_service_error();
    assert_eq!((refused.meta().code(), refused.meta().message()), (Some("InvalidNextToken"), Some("odd")));
    let config = aws_sdk_route53::Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-east-1"));
    let route53 = aws_sdk_route53::Client::from_conf(config.endpoint_url(&aws.endpoint).credentials_provider(keys.clone()).build());
    let refused = route53.get_change().id("C0").send().await.unwrap_err().into_service_error();
    assert!(refused.is_no_such_change(), "{refused:?}");
    let config = aws_sdk_scheduler::Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-east-1"));
    let scheduler = aws_sdk_scheduler::Client::from_conf(config.endpoint_url(&aws.endpoint).credentials_provider(keys).build());
    let refused = scheduler.get_schedule().name("absent").send().await.unwrap_err().into_service_error();
    assert!(refused.is_resource_not_found_exception(), "{refused:?}");
}

#[test]
fn a_lost_answer_was_carried_out_and_a_lost_request_was_not() {
    let aws = Aws::start(AwsOptions::SMALL);
    let change = "result = tried(client('iam').tag_role, RoleName='app-checkout', Tags=[{'Key': args, 'Value': 'here'}])";
    aws.script(&json!({"action": "TagRole", "loseRequest": true, "times": 1}));
    aws.script(&json!({"action": "TagRole", "loseAnswer": true, "times": 1}));
    let before = aws.dump();
    assert_eq!(aws.boto3(change, &json!("first"))["error"], "connection");
    assert_eq!(before.differences(&aws.dump()), [""; 0]);
    assert_eq!(aws.boto3(change, &json!("second"))["error"], "connection");
    let differences = before.differences(&aws.dump());
    assert_eq!(differences, ["111122223333 global roles app-checkout tags second: new: \"here\""]);
    assert_eq!(aws.boto3(change, &json!("third")), json!({"ok": {}}));
    let log: Vec<_> = aws.calls().into_iter().filter(|call| call.is("TagRole")).map(|call| (call.carried_out, call.answered.unwrap())).collect();
    assert_eq!(log, [(false, false), (true, false), (true, true)]);
}

#[test]
fn scripts_throttle_fail_page_and_delay_the_calls_that_they_name_and_no_others() {
    let aws = Aws::start(AwsOptions { subnets: 12, ..AwsOptions::SMALL });
    // Of four calls the second and third.
    aws.script(&json!({"service": "ec2", "action": "DescribeVpcs", "region": "us-west-2", "throttle": true, "after": 1, "times": 2}));
    let four = "result = [tried(client('ec2', args).describe_vpcs).get('error') for _ in range(4)]";
    assert_eq!(aws.boto3(four, &json!("us-west-2")), json!([null, "RequestLimitExceeded", "RequestLimitExceeded", null]));
    assert_eq!(aws.boto3(four, &json!("us-east-1")), json!([null, null, null, null]));
    aws.script(&json!([{"service": "route53", "action": "List*", "serverError": 503, "times": 1}, {"service": "iam", "error": {"status": 409, "code": "ConcurrentModification"}, "times": 1}]));
    let both = "result = [tried(client('route53').list_hosted_zones), tried(client('iam').list_roles)]";
    let said = aws.boto3(both, &json!({}));
    assert_eq!((&said[0]["error"], &said[0]["status"]), (&json!("ServiceUnavailable"), &json!(503)));
    assert_eq!((&said[1]["error"], &said[1]["status"]), (&json!("ConcurrentModification"), &json!(409)));
    // An empty page with a token, then pages of five; all twelve come, once each.
    aws.script(&json!({"action": "DescribeSubnets", "emptyPage": true, "pageSize": 5}));
    let pages = "pages = [[one['SubnetId'] for one in page['Subnets']] for page in client('ec2').get_paginator('describe_subnets').paginate()]\n\
                 result = [[len(page) for page in pages], len(set(sum(pages, [])))]";
    assert_eq!(aws.boto3(pages, &json!({})), json!([[0, 5, 5, 2], 12]));
    aws.reset();
    // Unknown words are refused, not ignored.
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| aws.script(&json!({"action": "DescribeSubnets", "throtle": true}))));
    assert!(refused.is_err());
    assert_eq!(aws.scripts()["rules"], json!([]));
    // Delays are seen in the log, not by a clock of the test: answers that wait do not hold up each other.
    aws.script(&json!({"everyAnswer": {"delay": 300}}));
    let at_once = "import concurrent.futures\nec2 = client('ec2')\n\
                   with concurrent.futures.ThreadPoolExecutor(8) as pool: list(pool.map(lambda _: ec2.describe_vpcs(), range(8)))";
    aws.boto3(at_once, &json!({}));
    let calls = aws.calls();
    assert_eq!(calls.len(), 8);
    assert!(calls.iter().all(|call| call.scripted == ["delay"]), "{calls:?}");
}

#[test]
fn a_call_that_hangs_is_let_go_by_a_reset() {
    let aws = Aws::start(AwsOptions::SMALL);
    aws.script(&json!({"action": "DescribeVolumes", "hang": true}));
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| aws.boto3("result = tried(client('ec2').describe_volumes)", &json!({})));
        while !aws.calls().iter().any(|call| call.is("DescribeVolumes") && call.status.is_none() && call.scripted == ["hang"]) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        aws.reset();
        assert_eq!(hanging.join().unwrap()["error"], "connection");
    });
}

#[test]
fn under_enforcement_a_role_has_what_its_policies_say_and_a_past_deny_is_over() {
    let aws = Aws::start(AwsOptions::SMALL);
    let role = aws.role("app-checkout", &[allow(&["ec2:Describe*"], "*")]);
    let pod = aws.session(&role);
    aws.enforce(true);
    let see = "result = [tried(client('ec2').describe_vpcs).get('error'), tried(client('iam').list_roles).get('error'), \
               tried(client('sts').get_caller_identity).get('error')]";
    assert_eq!(aws.boto3_as(&pod, see, &json!({})), json!([null, "AccessDenied", null]));
    for (until, seen) in [("2099-01-01T00:00:00Z", json!("UnauthorizedOperation")), ("2001-01-01T00:00:00Z", Value::Null)] {
        let deny = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"DateLessThan": {"aws:CurrentTime": until}}}]});
        let put = "client('iam').put_role_policy(RoleName='app-checkout', PolicyName='deny', PolicyDocument=json.dumps(args))";
        aws.boto3(put, &deny);
        assert_eq!(aws.boto3_as(&pod, see, &json!({})), json!([seen, "AccessDenied", null]), "{until}");
    }
    // What the evaluator does not know fails loudly, and is no answer of AWS's.
    let odd = aws.user("odd", &[json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:Mood": "good"}}}})]);
    aws.boto3_as(&odd, "try:\n    client('ec2').describe_vpcs()\nexcept Exception as error:\n    result = str(error)", &json!({}));
    assert_eq!(aws.calls().last().unwrap().status, Some(599));
}

#[test]
fn a_schedule_does_what_its_input_says_when_a_test_lets_its_time_come() {
    let aws = Aws::start(AwsOptions::SMALL);
    let before = aws.dump();
    let stop = "ec2, scheduler = client('ec2', 'us-west-2'), client('scheduler', 'us-west-2')\n\
                ids = [one['InstanceId'] for of in ec2.describe_instances(Filters=[{'Name': 'tag:app', 'Values': ['checkout']}])['Reservations'] for one in of['Instances']]\n\
                target = {'Arn': 'arn:aws:scheduler:::aws-sdk:ec2:startInstances', 'RoleArn': 'arn:aws:iam::111122223333:role/firedrill-deadman', 'Input': json.dumps({'InstanceIds': ids})}\n\
                scheduler.create_schedule(Name='undo-1', ScheduleExpression='at(2099-01-01T00:00:00)', FlexibleTimeWindow={'Mode': 'OFF'}, Target=target, ActionAfterCompletion='DELETE')\n\
                ec2.stop_instances(InstanceIds=ids)\n\
                ec2.describe_instances(), ec2.describe_instances()";
    aws.boto3(stop, &json!({}));
    assert!(aws.dump().of("us-west-2", "instances").values().all(|one| one["state"] == "stopped"));
    let fired = aws.fire_schedules("us-west-2", "undo-");
    assert!(fired.len() == 1 && fired[0]["ok"]["StartingInstances"].as_array().unwrap().len() == 6, "{fired:?}");
    assert_eq!(
        aws.calls().iter().rfind(|call| call.is("StartInstances")).unwrap().principal.as_deref(),
        Some("arn:aws:iam::111122223333:role/firedrill-deadman")
    );
    aws.boto3("client('ec2', 'us-west-2').describe_instances()", &json!({}));
    assert_eq!(before.differences(&aws.dump()), [""; 0]);
}

#[test]
fn dead_credentials_are_refused_as_aws_refuses_them() {
    let aws = Aws::start(AwsOptions::SMALL);
    let session = aws.session("arn:aws:iam::444455556666:role/firedrill");
    let see = "result = [tried(client('sts').get_caller_identity), tried(client('ec2').describe_vpcs)]";
    assert_eq!(aws.boto3_as(&session, see, &json!({}))[0]["ok"]["Account"], "444455556666");
    aws.expire(&session.access_key_id);
    let said = aws.boto3_as(&session, see, &json!({}));
    assert_eq!((&said[0]["error"], &said[1]["error"]), (&json!("ExpiredToken"), &json!("RequestExpired")));
    let alice = aws.user("alice", &[]);
    aws.revoke(&alice);
    let said = aws.boto3_as(&alice, see, &json!({}));
    assert_eq!((&said[0]["error"], &said[1]["error"]), (&json!("InvalidClientTokenId"), &json!("AuthFailure")));
}

#[test]
fn nothing_is_left_when_it_ends_or_when_its_test_is_killed() {
    let running = |pid: u64| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
    };
    let aws = Aws::start(AwsOptions::SMALL);
    let directory = aws.directory.clone();
    assert!(directory.exists());
    drop(aws);
    assert!(!directory.exists());
    // As a killed test leaves it: nobody holds the other end of its standard input.
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().join("aws");
    let mut process =
        Command::new(SCRIPT).args(["aws", "run", "--directory"]).arg(&place).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.as_mut().unwrap()), &mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    assert!(!running(said["pid"].as_u64().unwrap()) && !place.exists());
    // The same while it is still being started: nobody reads what it says, either.
    let mut process = Command::new(SCRIPT)
        .args(["aws", "run", "--directory"])
        .arg(&place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop((process.stdin.take(), process.stdout.take()));
    assert!(!process.wait().unwrap().success() && !place.exists());
}

#[test]
fn up_runs_until_down_and_status_says_how_to_use_it() {
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().join("aws");
    let run = |word: &str| {
        let output = Command::new(SCRIPT).args(["aws", word, "--directory"]).arg(&place).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run("status").0, 1);
    let (code, said, errors) = run("up");
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("AWS_ACCESS_KEY_ID=AKIA") && said.contains("moto.yaml"), "{said}");
    assert_eq!(run("status").1, said);
    let (code, _, errors) = run("up");
    assert!(code == 1 && errors.contains("scripts/testbed aws down"), "{errors}");
    assert_eq!(run("down").0, 0);
    assert!(!place.exists());
    assert_eq!(run("status").0, 1);
}
