//! Kafka: how one node in `KRaft` mode, broker and controller in one, is started from its jars.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::broker::{BrokerError, Kind, Recipe, log_file, ports};
use crate::guarded::GuardedCommand;
use crate::readiness::Greeting;

/// The jar that `./run setup` puts beside all that it needs.
const JAR: &str = "kafka_2.13-4.1.0.jar";
/// Any 16 bytes in URL-safe base64.
const CLUSTER: &str = "cG9ydGN1bGxpcy10ZXN0cw";
/// Small, quick to start, and at rest when nothing happens.
const JVM: [&str; 4] = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

pub(crate) fn recipe(folder: &Path) -> Result<Recipe, BrokerError> {
    let (java, jars) = (java()?, jars()?);
    let [port, controller] = ports(Kind::Kafka)?;
    let system = |source| BrokerError::System { broker: Kind::Kafka.name(), source };
    let (config, logging) = (folder.join("server.properties"), folder.join("log4j2.yaml"));
    std::fs::write(&config, properties(port, controller, &folder.join("data"))).map_err(system)?;
    std::fs::write(&logging, LOGGING).map_err(system)?;
    let program = |class: &str| {
        let mut command = GuardedCommand::new(&java, log_file(folder)).env("HOME", folder);
        for argument in JVM {
            command = command.arg(argument);
        }
        command
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            .arg(jars.join("*"))
            .arg(class)
    };
    let format =
        program("kafka.tools.StorageTool").arg("format").arg("-t").arg(CLUSTER).arg("-c").arg(&config);
    Ok(Recipe {
        url: format!("kafka://127.0.0.1:{port}"),
        port,
        greeting: Greeting::Kafka,
        prepare: Some(format),
        companion: None,
        start: program("kafka.Kafka").arg(config),
    })
}

/// One broker has to do for everything, and a killed one is not waited for long: neither by the
/// controller, which remembers it until its session ends, nor by groups whose member died.
fn properties(port: u16, controller: u16, data: &Path) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &format!("1@127.0.0.1:{controller}")),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", &format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("log.dirs", &data.display().to_string()),
        ("broker.session.timeout.ms", "1500"),
        ("broker.heartbeat.interval.ms", "300"),
        ("controller.quorum.election.timeout.ms", "300"),
        ("controller.quorum.fetch.timeout.ms", "1500"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "4"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "500"),
        ("num.network.threads", "2"),
        ("num.io.threads", "2"),
        ("log.cleaner.dedupe.buffer.size", "4194304"),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

const LOGGING: &str = "Configuration:
  Appenders:
    Console:
      name: console
      PatternLayout: { pattern: '[%d] %p %m (%c)%n' }
  Loggers:
    Root: { level: WARN, AppenderRef: { ref: console } }
";

fn java() -> Result<PathBuf, BrokerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join("java"));
    found.find(|program| program.is_file()).ok_or_else(|| missing("`java` in PATH".to_owned()))
}

fn jars() -> Result<PathBuf, BrokerError> {
    let tools = std::env::var_os("PORTCULLIS_TOOLS").map(PathBuf::from);
    let folder = tools.ok_or_else(|| missing("folder in $PORTCULLIS_TOOLS".to_owned()))?.join("kafka");
    if folder.join(JAR).is_file() { Ok(folder) } else { Err(missing(folder.join(JAR).display().to_string())) }
}

fn missing(what: String) -> BrokerError {
    BrokerError::Missing { broker: Kind::Kafka.name(), what }
}
