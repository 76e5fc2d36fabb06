//! The programs as an operator runs them: by environment, several instances on one database.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "instances/descriptions.rs"]
mod descriptions;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "../../tools/schemathesis/st.rs"]
mod schemathesis;

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything may take. Generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "over the moat and through the gate";

/// A running instance; killed when dropped.
struct Instance {
    process: Child,
    lines: Lines<BufReader<ChildStderr>>,
    url: String,
    log: Vec<Value>,
}

const USER: &str = env!("CARGO_BIN_EXE_portcullis-user");

fn service(program: &str, settings: &[(&str, &str)]) -> Child {
    let mut command = Command::new(program);
    command.env_clear().envs(settings.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

impl Instance {
    async fn start(program: &str, settings: &[(&str, &str)]) -> Self {
        // For the requests of the tests. It was installed before if another test was faster.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut process = service(program, settings);
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut instance = Self { process, lines, url: String::new(), log: Vec::new() };
        within("the start", async {
            loop {
                let line = instance.line().await.expect("the instance ended at once");
                if line["msg"] == "serving" {
                    instance.url = format!("http://{}", line["fields"]["address"].as_str().unwrap());
                    return;
                }
            }
        })
        .await;
        instance
    }

    async fn line(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.unwrap()?;
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.log.push(line.clone());
        Some(line)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = reqwest::Client::new().post(format!("{}{path}", self.url)).json(body);
        let answer = request.header("x-request-id", "r-1").timeout(PATIENCE).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn keys(&self) -> Value {
        let url = format!("{}/.well-known/jwks.json", self.url);
        reqwest::Client::new().get(url).timeout(PATIENCE).send().await.unwrap().json().await.unwrap()
    }

    /// Asks the instance to stop, and answers what it logged.
    async fn stop(mut self) -> Vec<Value> {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        within("the end", async { while self.line().await.is_some() {} }).await;
        assert!(within("the end", self.process.wait()).await.unwrap().success());
        self.log
    }
}

async fn share(database: &str) {
    let settings = [("DATABASE_URL", database), ("STAFF_EMAIL", "boss@example.com")];
    let (first, second) = tokio::join!(Instance::start(USER, &settings), Instance::start(USER, &settings));
    let account = json!({ "email": "ada@example.com", "name": "Ada", "password": PASSWORD });
    assert_eq!(first.post("/users", &account).await.0, 201);
    assert_eq!(second.post("/users", &account).await.0, 409);
    let (status, session) =
        second.post("/sessions", &json!({ "email": "ada@example.com", "password": PASSWORD })).await;
    assert_eq!(status, 200, "{session}");
    let token = json!({ "refresh_token": session["refresh_token"] });
    assert_eq!(first.post("/sessions/refresh", &token).await.0, 200);
    assert_eq!(second.post("/sessions/refresh", &token).await.1["code"], "refresh_token_reused");
    assert_eq!(first.keys().await, second.keys().await);
    let log = first.stop().await;
    assert_eq!(log.last().unwrap()["msg"], "stopped");
    let told = log.iter().find(|line| line["fields"]["path"] == "/sessions/refresh").unwrap();
    assert_eq!((&told["request_id"], &told["service"]), (&json!("r-1"), &json!("user-service")));
    assert_eq!(told["fields"]["status"], 200);
    // The other one goes on.
    assert_eq!(second.keys().await["keys"].as_array().unwrap().len(), 1);
    for line in log.iter().chain(&second.stop().await) {
        let line = line.to_string();
        assert!(!line.contains("s3cret") && !line.contains(PASSWORD), "{line}");
    }
}

#[tokio::test]
async fn instances_on_one_machine_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    share(&format!("sqlite:{}", folder.path().join("users.db").display())).await;
}

#[tokio::test]
async fn instances_share_a_server() {
    if let Some(url) = postgres::schema().await {
        share(&url.replace("shop@", "shop:s3cret@")).await;
    }
}

#[tokio::test]
async fn what_keeps_a_service_from_starting_is_named() {
    for (name, value, said) in [
        ("DATABASE_URL", "mysql://shop:s3cret@db/users", "DATABASE_URL"),
        ("DATABASE_URL", "sqlite:/proc/nowhere/users.db", "DATA_DIR"),
        ("LISTEN", "8000", "127.0.0.1:8000"),
        ("KEY_LEAD", "soon", "KEY_LEAD"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display().to_string();
        let output = service(USER, &[("DATA_DIR", &folder), (name, value)]).wait_with_output();
        let output = within("the end", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}={value}");
        let line: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&json!("error"), &json!("cannot start")));
        let error = line["fields"]["error"].as_str().unwrap();
        assert!(error.contains(said) && !error.contains("s3cret"), "{error}");
    }
}
