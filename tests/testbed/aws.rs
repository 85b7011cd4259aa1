//! The AWS emulator for tests: an account on loopback, its call log, scripts of what goes wrong, boto3 as an independent client, and dumps to compare.
//!
//! A test crate takes it in with `#[path = "testbed/aws.rs"] mod aws;` (from a folder: `"../testbed/aws.rs"`). docs/testbed.md says what is corrected in moto, and
//! which scripts there are. When the test's process dies, however it dies, the emulator ends too, and its files go.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part, and tests panic

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

/// What is laid out, in each of two regions.
#[derive(Debug, Clone, Copy)]
pub struct AwsOptions {
    /// Over three zones, half of them under each of two network ACLs. A multiple of 6 is spread evenly.
    pub subnets: u32,
    /// Tagged `app=checkout`, beside the three of the group `web`.
    pub instances: u32,
    /// IAM roles beside the named ones: `app-0000`, …
    pub roles: u32,
    /// The environment names the roles firedrill, firedrill-undo and firedrill-deadman.
    pub with_roles: bool,
}

impl AwsOptions {
    /// 6 subnets and 6 instances, no roles in the environment: runs act as whoever's credentials they get.
    pub const SMALL: Self = Self { subnets: 6, instances: 6, roles: 0, with_roles: false };
    /// The small one, with roles in the environment.
    pub const ROLES: Self = Self { with_roles: true, ..Self::SMALL };
}

/// Who calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    #[serde(default)]
    pub session_token: Option<String>,
}

/// A call as the emulator saw it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Grows by one with each call; not reset.
    pub n: u64,
    /// When it came: RFC 3339 with microseconds, so that texts sort by time.
    pub at: String,
    pub service: Option<String>,
    /// As boto3's models have it: `ReplaceNetworkAclAssociation`.
    pub action: Option<String>,
    pub region: String,
    pub account: Option<String>,
    /// `arn:aws:iam::…:user/NAME`, or the role's ARN for a session of it.
    pub principal: Option<String>,
    pub mutating: bool,
    pub dry_run: bool,
    /// In boto3's form.
    pub params: Value,
    /// None while it goes on.
    pub status: Option<u16>,
    /// Of an error.
    pub code: Option<String>,
    /// Whether it reached the account.
    pub carried_out: bool,
    /// False when the answer was lost.
    pub answered: Option<bool>,
    /// What scripts did to it.
    pub scripted: Vec<String>,
    /// The same for all attempts of one call of an SDK, which may send it again when no answer comes in time.
    pub invocation: Option<String>,
}

impl Call {
    pub fn is(&self, action: &str) -> bool {
        self.action.as_deref() == Some(action)
    }
}

/// A running emulator. Dropped, nothing of it is left.
pub struct Aws {
    pub endpoint: String,
    /// `moto.yaml`: the account `main` with both regions.
    pub environment: PathBuf,
    pub directory: PathBuf,
    pub account: String,
    pub regions: Vec<String>,
    /// The administrator, whom [`Aws::enforce`] does not touch.
    pub administrator: Credentials,
    python: PathBuf,
    process: Child,
    /// Given back when it is dropped.
    turn: Option<Turn>,
}

/// One of the emulators that may work at a time. Each takes a core when it is asked much: more of them would all answer too late.
struct Turn;

/// How many have a turn.
static TAKEN: Mutex<u32> = Mutex::new(0);
static GIVEN_BACK: Condvar = Condvar::new();

impl Turn {
    const AT_ONCE: u32 = 3;

    fn wait() -> Self {
        let taken = TAKEN.lock().unwrap();
        *GIVEN_BACK.wait_while(taken, |taken| *taken == Self::AT_ONCE).unwrap() += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() -= 1;
        GIVEN_BACK.notify_one();
    }
}

#[derive(Deserialize)]
struct Description {
    endpoint: String,
    environment: PathBuf,
    directory: PathBuf,
    account: String,
    regions: Vec<String>,
    python: PathBuf,
    #[serde(flatten)]
    administrator: Credentials,
}

impl Aws {
    /// Starts one; the world is laid out when it returns, some 3 s later, or when others have ended.
    ///
    /// # Panics
    /// With what it says, when it does not start.
    pub fn start(options: AwsOptions) -> Self {
        let turn = Turn::wait();
        let mut started = Self::beside(options);
        started.turn = Some(turn);
        started
    }

    /// Starts one beside another that is asked nothing meanwhile, as [`Aws::start`] does.
    pub fn beside(options: AwsOptions) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("firedrill-aws-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/testbed"));
        command.args(["aws", "run", "--directory"]).arg(std::env::temp_dir().join(name));
        command.args([format!("--subnets={}", options.subnets), format!("--instances={}", options.instances), format!("--roles={}", options.roles)]);
        command.args(options.with_roles.then_some("--with-roles")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = command.spawn().expect("scripts/testbed starts (it needs python3)");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Description = serde_json::from_str(&line).unwrap_or_else(|error| panic!("the AWS emulator did not start ({error}): {line}"));
        let Description { endpoint, environment, directory, account, regions, python, administrator } = said;
        Self { endpoint, environment, directory, account, regions, administrator, python, process, turn: None }
    }

    /// Writes an environment file like [`Aws::environment`], edited.
    pub fn environment_with(&self, file: &Path, edit: impl FnOnce(&mut Value)) {
        // It is JSON, which is YAML.
        let mut environment: Value = serde_json::from_str(&std::fs::read_to_string(&self.environment).unwrap()).unwrap();
        edit(&mut environment);
        std::fs::write(file, serde_json::to_string_pretty(&environment).unwrap()).unwrap();
    }

    /// Makes a program the administrator: nobody else's profile, endpoint or credentials reach it.
    pub fn command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.command_as(command, &self.administrator)
    }

    /// Makes a program that caller.
    pub fn command_as<'a>(&self, command: &'a mut Command, who: &Credentials) -> &'a mut Command {
        for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
            command.env_remove(name);
        }
        command.env("AWS_ACCESS_KEY_ID", &who.access_key_id).env("AWS_SECRET_ACCESS_KEY", &who.secret_access_key).env("AWS_REGION", &self.regions[0]);
        command.envs(who.session_token.as_ref().map(|token| ("AWS_SESSION_TOKEN", token)));
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    }

    /// A user with these policy documents and nothing else; again with the same name, with other policies.
    pub fn user(&self, name: &str, policies: &[Value]) -> Credentials {
        serde_json::from_value(self.post("identity", &json!({"name": name, "policies": policies}))).unwrap()
    }

    /// Gives a role these inline policies instead of its own, or makes it; everybody of the account may assume it, as far as their policies allow.
    pub fn role(&self, name: &str, policies: &[Value]) -> String {
        self.post("identity", &json!({"role": name, "policies": policies}))["role"].as_str().unwrap().to_owned()
    }

    /// A session of a role, assumed by the administrator.
    pub fn session(&self, role_arn: &str) -> Credentials {
        let script = "keys = client('sts').assume_role(RoleArn=args['role'], RoleSessionName='test')['Credentials']\n\
                      result = {'accessKeyId': keys['AccessKeyId'], 'secretAccessKey': keys['SecretAccessKey'], 'sessionToken': keys['SessionToken']}";
        serde_json::from_value(self.boto3(script, &json!({"role": role_arn}))).unwrap()
    }

    /// The key is no longer good.
    pub fn revoke(&self, who: &Credentials) {
        self.post("identity", &json!({"revoke": who.access_key_id}));
    }

    /// The session is over. With the key of the call log, also one that firedrill made.
    pub fn expire(&self, access_key_id: &str) {
        assert_eq!(self.post("identity", &json!({"expire": access_key_id}))["expired"], true, "{access_key_id} is the key of a session");
    }

    /// Runs Python with boto3 as the administrator: `client(service, region="us-east-1")`, `tried(call, …)`, `args`; what it puts into `result` comes back.
    pub fn boto3(&self, script: &str, args: &Value) -> Value {
        self.boto3_as(&self.administrator, script, args)
    }

    /// The same as somebody else.
    ///
    /// # Panics
    /// With the traceback, when the script fails.
    pub fn boto3_as(&self, who: &Credentials, script: &str, args: &Value) -> Value {
        let mut command = Command::new(&self.python);
        command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testbed/boto3_script.py")]);
        command.env_clear().env("HOME", &self.directory).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let given = json!({
            "endpoint": self.endpoint, "accessKeyId": who.access_key_id, "secretAccessKey": who.secret_access_key, "sessionToken": who.session_token,
            "script": script, "args": args,
        });
        process.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Does what EventBridge Scheduler does when the time of every schedule comes, whose name begins so: carries out its input with boto3, as its role; then deletes it
    /// where it says so. Returns `{name, target, ok | error}` of each.
    pub fn fire_schedules(&self, region: &str, prefix: &str) -> Vec<Value> {
        let script = include_str!("fire_schedules.py");
        self.boto3(script, &json!({"region": region, "prefix": prefix})).as_array().unwrap().clone()
    }

    /// Ends an FIS experiment as its actions would: `completed`, `failed`.
    pub fn end_experiment(&self, id: &str, status: &str) {
        self.post("experiment", &json!({"id": id, "status": status}));
    }

    /// Every AWS call since the start, or since the last [`Aws::reset`].
    pub fn calls(&self) -> Vec<Call> {
        self.calls_since(0)
    }

    /// The calls behind number `n`.
    pub fn calls_since(&self, n: u64) -> Vec<Call> {
        serde_json::from_value(self.get(&format!("calls?since={n}"))).unwrap()
    }

    /// The number of the last call: a mark for [`Aws::calls_since`].
    pub fn last_call(&self) -> u64 {
        self.calls().last().map_or(0, |call| call.n)
    }

    /// Takes a rule or a setting, or a list of them: docs/testbed.md. Returns the number of a single rule.
    pub fn script(&self, script: &Value) -> Option<u64> {
        self.post("script", script)["id"].as_u64()
    }

    /// Ends one rule.
    pub fn forget(&self, rule: u64) {
        self.post("script", &json!({"forget": rule}));
    }

    /// The rules and settings, with how many calls each rule met and acted on.
    pub fn scripts(&self) -> Value {
        self.get("scripts")
    }

    /// Forgets scripts, the call log and enforcement; what hangs is let go. The world stays.
    pub fn reset(&self) {
        self.post("reset", &json!({}));
    }

    /// Lays out the world anew as well: other ids, no identities but the administrator.
    pub fn reset_world(&self) {
        self.post("reset", &json!({"world": true}));
    }

    /// Whether IAM policies decide. The administrator may everything always.
    pub fn enforce(&self, on: bool) {
        self.post("enforce", &json!({"on": on}));
    }

    /// Everything in both accounts, as it is.
    pub fn dump(&self) -> AwsDump {
        AwsDump(self.get("dump"))
    }

    fn get(&self, path: &str) -> Value {
        self.control("GET", path, "")
    }

    fn post(&self, path: &str, what: &Value) -> Value {
        self.control("POST", path, &what.to_string())
    }

    fn control(&self, method: &str, path: &str, body: &str) -> Value {
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the emulator runs");
        write!(stream, "{method} /testbed/{path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}: {answer}"));
        assert!(head.split(' ').nth(1) == Some("200"), "{method} {path}: {head}\n{body}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{method} {path}: {error}: {body}"))
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Where it still runs: nothing may be left of it, and it is said below.
        self.process.kill().ok();
        let ended_well = self.process.wait().is_ok_and(|status| status.success());
        assert!(
            ended_well || std::thread::panicking(),
            "the AWS emulator ended before the test did, or not when it should have; its standard error says why"
        );
    }
}

/// Both accounts, normalised: `{account: {global | region: {kind: {identity: state}}}}`, without times and terminated instances.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsDump(pub Value);

impl AwsDump {
    /// What is at a JSON pointer; Null where there is nothing.
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A kind of thing in a region of the first account: `dump.of("us-east-1", "subnets")`, by identity. `global` is a region here.
    pub fn of(&self, region: &str, kind: &str) -> &serde_json::Map<String, Value> {
        self.at(&format!("/111122223333/{region}/{kind}")).as_object().unwrap_or_else(|| panic!("the dump has {kind} in {region}"))
    }

    /// A line for each value that is not the same afterwards, as `account region kind identity field: before -> after`; empty when nothing differs.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut found = Vec::new();
        compare("", &self.0, &after.0, &mut found);
        found
    }
}

fn compare(at: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                let at = if at.is_empty() { key.clone() } else { format!("{at} {key}") };
                match (one.get(key), other.get(key)) {
                    (Some(before), Some(after)) => compare(&at, before, after, found),
                    (Some(before), None) => found.push(format!("{at}: {before} -> gone")),
                    (None, Some(after)) => found.push(format!("{at}: new: {after}")),
                    (None, None) => {}
                }
            }
        }
        (one, other) if one != other => found.push(format!("{at}: {one} -> {other}")),
        _ => {}
    }
}
