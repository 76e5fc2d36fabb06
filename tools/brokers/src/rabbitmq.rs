//! RabbitMQ: how one node of it is started beside any other that may run.
//!
//! Debian's wrapper is passed by, since it changes the user and the folders. The node has its own name,
//! cookie, folders and ports, and its own `epmd` (Erlang's register of nodes), which the node would
//! otherwise start as a daemon that stays.

use std::path::{Path, PathBuf};

use crate::broker::{BrokerError, Kind, Recipe, log_file, ports};
use crate::guarded::GuardedCommand;
use crate::readiness::Greeting;

/// Where Debian has the server's own script.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Where Debian has Erlang's register of nodes.
const EPMD: &str = "/usr/bin/epmd";

pub(crate) fn recipe(folder: &Path) -> Result<Recipe, BrokerError> {
    let (script, epmd) = (installed(SCRIPT)?, installed(EPMD)?);
    let [port, distribution, register] = ports(Kind::RabbitMq)?;
    let system = |source| BrokerError::System { broker: Kind::RabbitMq.name(), source };
    let config = folder.join("rabbitmq.conf");
    let text = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
    );
    std::fs::write(&config, text).map_err(system)?;
    let plugins = folder.join("enabled_plugins");
    std::fs::write(&plugins, "[].\n").map_err(system)?;
    let log = log_file(folder);
    let companion = GuardedCommand::new(epmd, &log)
        .env("HOME", folder)
        .arg("-port")
        .arg(register.to_string())
        .arg("-address")
        .arg("127.0.0.1");
    let start = GuardedCommand::new(script, &log)
        .env("HOME", folder)
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
        .env("RABBITMQ_NODENAME", format!("portcullis-{port}@localhost"))
        .env("RABBITMQ_BASE", folder)
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder.join("logs"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
        .env("RABBITMQ_CONFIG_FILE", config)
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("none"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_GENERATED_CONFIG_DIR", folder.join("generated"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("ERL_EPMD_PORT", register.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        // Two schedulers are enough for a test, and idle ones do not spin.
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none")
        // With this the script becomes the node; else it would stay and wait for it.
        .env("RABBITMQ_ALLOW_INPUT", "true");
    let url = format!("amqp://guest:guest@127.0.0.1:{port}");
    Ok(Recipe { url, port, greeting: Greeting::Amqp, prepare: None, companion: Some(companion), start })
}

fn installed(path: &str) -> Result<PathBuf, BrokerError> {
    let found = Path::new(path);
    if found.is_file() {
        Ok(found.to_path_buf())
    } else {
        Err(BrokerError::Missing { broker: Kind::RabbitMq.name(), what: path.to_owned() })
    }
}
