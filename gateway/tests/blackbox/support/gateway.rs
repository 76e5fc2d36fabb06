//! The real binary: started in a folder of its own, asked over its sockets, killed by its own id.
#![expect(clippy::disallowed_methods, reason = "reads a child's output until the child ends")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Reply, request, until};

/// Written before the test's own part of every configuration.
const DOORS: &str = "version: 1\n\
    admin: { address: \"127.0.0.1:0\" }\n\
    metrics: { address: \"127.0.0.1:0\" }\n";
const WEB: &str = "listeners: { web: { address: \"127.0.0.1:0\" } }\n";

/// A gateway that takes traffic.
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    log: Arc<Mutex<String>>,
    /// The listener `web`.
    pub(crate) web: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) token: String,
}

/// What is left of a gateway that has ended.
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    /// Everything it wrote to standard error.
    pub(crate) log: String,
}

impl Gateway {
    /// Starts with this configuration and a listener `web`, unless the text has listeners of its own.
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[])
    }

    pub(crate) fn start_with(config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = whole(config, folder.path());
        std::fs::write(folder.path().join("gateway.yaml"), text).unwrap();
        Self::start_in(folder, arguments)
    }

    /// Starts with this text as it is.
    pub(crate) fn start_whole(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("gateway.yaml"), text).unwrap();
        Self::start_in(folder, &[])
    }

    /// Kills the process, as a power cut would, and starts another one in the same folder.
    pub(crate) fn killed_and_started_again(mut self) -> Self {
        self.kill();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder, &[])
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        let mut child = command(folder.path(), arguments).spawn().unwrap();
        let log = collect(child.stderr.take().unwrap());
        let mut gateway = Self {
            child,
            folder,
            log,
            web: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
            metrics: SocketAddr::from(([0, 0, 0, 0], 0)),
            token: String::new(),
        };
        gateway.wait_until_ready();
        gateway
    }

    fn wait_until_ready(&mut self) {
        until("the service doors open", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("ended with {status}:\n{}", self.log());
            }
            self.door("metrics").is_some()
        });
        self.admin = self.door("admin").unwrap();
        self.metrics = self.door("metrics").unwrap();
        self.token = std::fs::read_to_string(self.path("state/admin-token")).unwrap().trim().to_owned();
        until("ready", || {
            let ready = Client::try_connect(self.metrics).map(|mut client| {
                client.send(request("GET", "/readyz", &[], ""));
                client.reply_to("GET").is_some_and(|reply| reply.status == 200)
            });
            ready.unwrap_or(false)
        });
        if let Some(web) = self.listening("web") {
            self.web = web;
        }
    }

    /// Where a listener takes connections now.
    pub(crate) fn listening(&self, name: &str) -> Option<SocketAddr> {
        let status = self.admin("GET", "/api/v1/status", "").json();
        let listeners = status["listeners"].as_array().unwrap();
        let found = listeners.iter().find(|listener| listener["name"] == name)?;
        Some(found["address"].as_str().unwrap().parse().unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        Client::connect(self.web).ask(method, target, headers, body)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], "")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.web)
    }

    /// Asks the admin API, with the generated token. A test that polls may be told to wait, and does.
    pub(crate) fn admin(&self, method: &str, target: &str, body: &str) -> Reply {
        let mut reply = self.admin_as(&self.token, method, target, body);
        until("the admin API has time", || {
            if reply.status == 429 {
                reply = self.admin_as(&self.token, method, target, body);
            }
            reply.status != 429
        });
        reply
    }

    /// Asks the admin API with this token, once.
    pub(crate) fn admin_as(&self, token: &str, method: &str, target: &str, body: &str) -> Reply {
        self.admin_stream(token, method, target, body).reply_to(method).unwrap()
    }

    /// The same, and the reply is still to be read.
    pub(crate) fn admin_stream(&self, token: &str, method: &str, target: &str, body: &str) -> Client {
        let token = format!("Bearer {token}");
        let kind = if body.starts_with('{') { "application/json" } else { "application/yaml" };
        let mut headers = vec![("Authorization", token.as_str()), ("Host", "localhost")];
        if !body.is_empty() {
            headers.push(("Content-Type", kind));
        }
        let mut client = Client::connect(self.admin);
        client.send(request(method, target, &headers, body));
        client
    }

    /// Makes a token with this role, called like it.
    pub(crate) fn token_of(&self, role: &str) -> String {
        let body = format!("{{\"name\": \"{role}\", \"role\": \"{role}\"}}");
        let made = self.admin("POST", "/api/v1/tokens", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["token"].as_str().unwrap().to_owned()
    }

    /// Asks the admin API with the token and further fields.
    pub(crate) fn admin_with(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let token = format!("Bearer {}", self.token);
        let mut headers = vec![("Authorization", token.as_str()), ("Host", "localhost")];
        headers.extend(fields);
        Client::connect(self.admin).ask(method, target, &headers, body)
    }

    /// Asks the metrics door.
    pub(crate) fn probe(&self, target: &str) -> Reply {
        Client::connect(self.metrics).ask("GET", target, &[], "")
    }

    /// The sum of the series that start with this text.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.probe("/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Puts another configuration in place of the one in use; nothing reads it yet.
    pub(crate) fn write(&self, config: &str) {
        // In one step, so that a watcher never sees half of it.
        let next = self.path("next.tmp");
        std::fs::write(&next, whole(config, self.folder.path())).unwrap();
        std::fs::rename(next, self.path("gateway.yaml")).unwrap();
    }

    /// Writes another configuration and reloads it through the admin API.
    pub(crate) fn reload(&self, config: &str) -> Reply {
        self.write(config);
        self.admin("POST", "/api/v1/reload", "")
    }

    pub(crate) fn generation(&self) -> u64 {
        self.admin("GET", "/api/v1/status", "").json()["generation"].as_u64().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Where a service door is, by the log.
    fn door(&self, name: &str) -> Option<SocketAddr> {
        let log = self.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines.find(|line| line["message"] == "listening" && line["door"] == name)?;
        Some(found["address"].as_str()?.parse().unwrap())
    }

    /// The access log's line of the request with this id, once it is written.
    pub(crate) fn logged(&self, id: &str) -> Value {
        let mut found = None;
        until("the access log has the request", || {
            let text = std::fs::read_to_string(self.path("access.log")).unwrap_or_default();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = lines.find(|line| line["id"] == id);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(mut self) -> Stopped {
        let mut status = None;
        until("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Stopped { status: status.unwrap(), log: self.log() }
    }
}

impl Drop for Gateway {
    #[expect(clippy::print_stdout, reason = "the test harness shows it beside the failure only")]
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
        if thread::panicking() {
            println!("the gateway's log:\n{}", self.log());
        }
    }
}

/// Runs the binary with these arguments until it ends.
pub(crate) fn run_to_end(folder: &Path, arguments: &[&str]) -> Stopped {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = collect(child.stderr.take().unwrap());
    let mut status = None;
    until("the program ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    until("its output ends", || Arc::strong_count(&log) == 1);
    Stopped { status: status.unwrap(), log: log.lock().unwrap().clone() }
}

/// The test's part of a configuration, made whole.
pub(crate) fn whole(config: &str, folder: &Path) -> String {
    let web = if config.contains("listeners:") { "" } else { WEB };
    let log = folder.join("access.log");
    format!("{DOORS}{web}telemetry: {{ access_log: {{ format: json, path: {} }} }}\n{config}", log.display())
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["run", "-c", "gateway.yaml", "--state-dir", "state", "--threads", "2"]).args(arguments);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Reads a child's output as it comes; ends with it.
fn collect(output: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let theirs = log.clone();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = theirs.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}
