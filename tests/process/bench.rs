//! The real binary on a real sandbox in a process of its own, and curl as the independent client.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Bound on everything that is waited for; generous, since tests share two cores.
pub const BOUND: Duration = Duration::from_secs(90);

pub fn firedrill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.env_remove("FIREDRILL_FAILPOINT").env_remove("FIREDRILL_STATE_DIR").env("FIREDRILL_ALLOW_TMPFS_STATE", "1").stdin(Stdio::null());
    command
}

/// A folder with a sandbox, a state directory and a short drill.
pub struct Bench {
    pub dir: tempfile::TempDir,
    sandbox: Child,
    gateway: String,
}

impl Bench {
    pub fn new() -> Self {
        Self::with_undo_by("60s")
    }

    /// With a variant of the sandbox.
    pub fn of(variant: &str) -> Self {
        Self::with(variant, "60s")
    }

    pub fn with_undo_by(undo_by: &str) -> Self {
        Self::with("default", undo_by)
    }

    fn with(variant: &str, undo_by: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let drill = include_str!("short.yaml").replace("UNDO_BY", undo_by);
        std::fs::write(dir.path().join("short.yaml"), drill).unwrap();
        std::fs::create_dir(dir.path().join("sandbox")).unwrap();
        let mut sandbox = firedrill();
        sandbox
            .args(["sandbox", "--write-env"])
            .arg(dir.path().join("env.yaml"))
            .arg("--dir")
            .arg(dir.path().join("sandbox"))
            .args(["--variant", variant]);
        let mut sandbox = sandbox.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(sandbox.stdout.take().unwrap()).lines();
        let gateway = loop {
            let line = lines.next().expect("the sandbox says how to use it").unwrap();
            if let Some(rest) = line.split("curl -x http://").nth(1) {
                break rest.split(' ').next().unwrap().to_owned();
            }
        };
        Self { dir, sandbox, gateway }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn sandbox_pid(&self) -> u32 {
        self.sandbox.id()
    }

    /// `firedrill ARGS` with this bench's state directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = firedrill();
        command.arg("--state-dir").arg(self.path("state")).args(args);
        command
    }

    pub fn env(&self) -> String {
        self.path("env.yaml").display().to_string()
    }

    pub fn run(&self) -> Running {
        self.run_with(|command| command)
    }

    pub fn run_with(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Running {
        self.run_drill(&self.path("short.yaml").display().to_string(), change)
    }

    pub fn run_drill(&self, drill: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Running {
        let mut command = self.command(&["run", drill, "--env", &self.env()]);
        Running::start(change(command.stdout(Stdio::piped()).stderr(Stdio::piped())))
    }

    /// What an independent client sees of us-east-1 through the gateway: 200, or 000 when nothing answers.
    pub fn east(&self) -> String {
        let url = "http://dynamodb.us-east-1.amazonaws.com/";
        let curl = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", "-x", &format!("http://{}", self.gateway), url])
            .output();
        String::from_utf8(curl.expect("curl is installed").stdout).unwrap()
    }

    fn endpoint(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.path("env.yaml")).unwrap();
        let environment: firedrill::drill::spec::Environment = serde_saphyr::from_str(&text).unwrap();
        environment.spec.endpoints[name].clone()
    }

    fn curl(args: &[&str]) -> String {
        let output = Command::new("curl").args(["-sS", "--fail", "--max-time", "10"]).args(args).output().expect("curl is installed");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the edge says of itself.
    pub fn edge(&self) -> serde_json::Value {
        serde_json::from_str(&Self::curl(&[&format!("{}/weights", self.endpoint("edge"))])).unwrap()
    }

    /// A person sets the edge's weights, whatever they are.
    pub fn set_weights(&self, body: &serde_json::Value) {
        Self::curl(&["-X", "PUT", "-H", "If-Match: *", "-d", &body.to_string(), &format!("{}/weights", self.endpoint("edge"))]);
    }

    pub fn post(&self, endpoint: &str, path: &str) {
        Self::curl(&["-X", "POST", &format!("{}{path}", self.endpoint(endpoint))]);
    }

    /// The stream of the run that was told to write its report beside the sandbox.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path("report").join("events.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn done(&self, args: &[&str]) -> Done {
        Done::of(&mut self.command(args))
    }

    /// The run that is in the journal.
    pub fn only_run(&self) -> String {
        let history = self.done(&["history", "--format", "json"]);
        let value: serde_json::Value = serde_json::from_str(&history.out).unwrap_or_else(|error| panic!("{error}: {history:?}"));
        let runs = value.as_array().or_else(|| value["runs"].as_array()).unwrap();
        runs[0]["run"].as_str().unwrap().to_owned()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.sandbox.id()), Signal::CONT);
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
    }
}

pub fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

/// A finished command.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A run that is going on; its standard error is read line by line.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
    told: Vec<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (send, lines) = channel();
        if let Some(err) = child.stderr.take() {
            // Ends, and so closes the pipe, at the first line that nobody wants any more.
            std::thread::spawn(move || BufReader::new(err).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        }
        Self { child, lines, told: Vec::new() }
    }

    /// Wants no more of the standard error.
    pub fn close_stderr(&mut self) {
        self.lines = channel().1;
    }

    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + BOUND;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.told.push(line);
                    if found {
                        return;
                    }
                }
                Err(error) => panic!("'{text}' was never said ({error}):\n{}", self.told.join("\n")),
            }
        }
    }

    pub fn wait_for_the_hold(&mut self) {
        self.wait_for("hold: the faults stay");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    pub fn end(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// Exit code, standard output, standard error.
    pub fn finish(mut self) -> Done {
        let status = self.end();
        let mut out = String::new();
        if let Some(stdout) = self.child.stdout.as_mut() {
            stdout.read_to_string(&mut out).unwrap();
        }
        self.told.extend(self.lines.iter());
        Done { code: status.code(), out, err: self.told.join("\n") }
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "the process did not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The event of this type in a run's stream.
pub fn event(report: &Path, kind: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(report.join("events.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.into_iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {}", report.display()))
}
