//! A throw-away PostgreSQL cluster for the tests of one process, and a schema in it for each that asks.
//!
//! It listens on a Unix socket in a folder of its own, so no port is taken. A shell between it and the tests
//! waits for the end of its standard input: however the tests end, it stops the server and removes the folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection};

/// How long the server may take to start. Generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = r#"
trap '' INT TERM HUP
"$1/initdb" -D "$2/data" -U shop --auth=trust --encoding=UTF8 --locale=C --no-sync >"$2/log" 2>&1 || exit 1
"$1/postgres" -D "$2/data" -c listen_addresses= -c unix_socket_directories="$2" -c fsync=off \
    -c max_connections=300 >>"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

struct Cluster {
    folder: PathBuf,
    /// Its standard input stays open for as long as this process lives.
    _shell: Child,
}

/// The URL of a fresh, empty schema; `None`, said aloud, when this machine has no PostgreSQL.
pub(crate) async fn schema() -> Option<String> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    static SCHEMAS: AtomicU64 = AtomicU64::new(0);
    let cluster = CLUSTER.get_or_init(start).as_ref()?;
    let name = format!("test_{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
    let mut connection = cluster.connect().await;
    let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    Some(format!("{}&options=-csearch_path%3D{name}", cluster.url()))
}

impl Cluster {
    fn url(&self) -> String {
        format!("postgres://shop@localhost/postgres?host={}&sslmode=disable", self.folder.display())
    }

    async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        let url = self.url();
        let connected = async {
            loop {
                match AnyConnection::connect(&url).await {
                    Ok(connection) => return connection,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let Ok(connection) = tokio::time::timeout(PATIENCE, connected).await else {
            panic!("PostgreSQL did not start: {:?}", std::fs::read_to_string(self.folder.join("log")));
        };
        connection
    }
}

fn start() -> Option<Cluster> {
    let Some(programs) = programs() else {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "CI must test on a real PostgreSQL: install the package postgresql"
        );
        // Written past the test harness, which would keep the output of a passing test to itself.
        let skipped = "\n*** SKIPPED: no PostgreSQL here; install the package postgresql ***\n\n";
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return None;
    };
    let folder = tempfile::Builder::new().prefix("portcullis-postgres-").tempdir().unwrap().keep();
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "sh"]).arg(programs).arg(&folder);
    // The server refuses to run as root.
    if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
        let (user, group) = unprivileged();
        std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        shell.uid(user).gid(group);
    }
    let shell = shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Cluster { folder, _shell: shell.spawn().unwrap() })
}

/// The folder with `initdb` and `postgres`: the newest of Debian's, or where `PATH` finds them.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    folders.sort();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let debian = folders.into_iter().rev().map(|(_, folder)| folder);
    debian.chain(std::env::split_paths(&paths)).find(|folder| has_programs(folder))
}

fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// The user and group ids of `postgres`, or else of `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some((ids.next()?, ids.next()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("a user that is not root")
}
