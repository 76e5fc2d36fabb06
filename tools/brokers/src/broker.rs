//! A broker under test: which one, where it is, and its life.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thiserror::Error;

use crate::guarded::{Guarded, GuardedCommand};
use crate::ports::{free_ports, pause};
use crate::readiness::{self, Greeting};
use crate::{kafka, rabbitmq};

/// Longest wait for a broker to serve. A JVM that starts beside a build on two cores takes half a minute.
const START_WAIT: Duration = Duration::from_secs(120);
/// Bytes shown of the log of a broker that did not start.
const LAST_WORDS_BYTES: usize = 3_000;

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RabbitMQ, from the system's packages.
    RabbitMq,
    /// Kafka in `KRaft` mode, from jars in `$PORTCULLIS_TOOLS/kafka`.
    Kafka,
}

impl Kind {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::Kafka => "Kafka",
        }
    }
}

/// Why there is no broker.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// It is not installed.
    #[error("{broker} is not installed: no {what}; ./run setup installs it")]
    Missing {
        /// Which broker.
        broker: &'static str,
        /// What was looked for.
        what: String,
    },
    /// The operating system refused something.
    #[error("{broker} cannot be started: {source}")]
    System {
        /// Which broker.
        broker: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// It was started and does not serve.
    #[error("{broker} does not serve ({why}); its last words:\n{last_words}")]
    Silent {
        /// Which broker.
        broker: &'static str,
        /// What was seen.
        why: String,
        /// The end of its log.
        last_words: String,
    },
}

/// What a kind of broker needs to be started, and started again.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Where clients connect.
    pub(crate) url: String,
    /// Where it is asked whether it serves.
    pub(crate) port: u16,
    /// How it is asked.
    pub(crate) greeting: Greeting,
    /// Once, before the first start.
    pub(crate) prepare: Option<GuardedCommand>,
    /// What runs beside it and survives it.
    pub(crate) companion: Option<GuardedCommand>,
    /// The broker.
    pub(crate) start: GuardedCommand,
}

/// A broker that runs until it is killed or dropped.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    recipe: Recipe,
    // Ended in this order: the broker, what runs beside it, their folder.
    running: Option<Guarded>,
    _companion: Option<Guarded>,
    folder: TempDir,
}

impl Broker {
    /// Starts a broker in a folder of its own and waits until it serves.
    ///
    /// # Errors
    /// When it is not installed or does not come to serve.
    pub fn start(kind: Kind) -> Result<Self, BrokerError> {
        let system = |source| BrokerError::System { broker: kind.name(), source };
        let folder = TempDir::with_prefix("portcullis-broker-").map_err(system)?;
        let recipe = match kind {
            Kind::RabbitMq => rabbitmq::recipe(folder.path())?,
            Kind::Kafka => kafka::recipe(folder.path())?,
        };
        if let Some(prepare) = &recipe.prepare {
            let status = prepare.run().map_err(system)?;
            if !status.success() {
                return Err(silent(kind, format!("its folder cannot be prepared: {status}"), folder.path()));
            }
        }
        let companion = recipe.companion.as_ref().map(Guarded::start).transpose().map_err(system)?;
        let mut broker = Self { kind, recipe, running: None, _companion: companion, folder };
        broker.start_again()?;
        Ok(broker)
    }

    /// Starts a broker for a test, or says loudly that the test is skipped where it is not installed.
    ///
    /// # Errors
    /// As [`Self::start`]; where `CI=true`, a broker that is not installed too.
    pub fn start_or_skip(kind: Kind) -> Result<Option<Self>, BrokerError> {
        match Self::start(kind) {
            Ok(broker) => Ok(Some(broker)),
            Err(missing @ BrokerError::Missing { .. }) => {
                if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
                    return Err(missing);
                }
                // Written past the test harness, which would keep the output of a passing test to itself.
                // Nobody reads a standard error that cannot be written.
                let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {missing} ***\n");
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Where clients connect, as `BUS_URL` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.recipe.url
    }

    /// Its folder, which goes with it. It is in the environment of all its processes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Which broker it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// SIGKILL to it and to all that it started; returns when it is gone. Its data stay.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it on the data it left, at the same address, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub fn start_again(&mut self) -> Result<(), BrokerError> {
        self.kill();
        let system = |source| BrokerError::System { broker: self.kind.name(), source };
        let running = Guarded::start(&self.recipe.start).map_err(system)?;
        let until = now() + START_WAIT;
        loop {
            if readiness::greets(self.recipe.port, self.recipe.greeting) {
                self.running = Some(running);
                return Ok(());
            }
            if !running.is_alive() {
                return Err(silent(self.kind, "it ended by itself".to_owned(), self.folder.path()));
            }
            if now() > until {
                return Err(silent(self.kind, format!("for {START_WAIT:?}"), self.folder.path()));
            }
            pause();
        }
    }
}

fn silent(kind: Kind, why: String, folder: &Path) -> BrokerError {
    let text = std::fs::read(log_file(folder)).unwrap_or_default();
    let start = text.len().saturating_sub(LAST_WORDS_BYTES);
    let last_words = String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned();
    BrokerError::Silent { broker: kind.name(), why, last_words }
}

/// Where a broker's output goes.
pub(crate) fn log_file(folder: &Path) -> PathBuf {
    folder.join("broker.log")
}

/// So many free ports, or why there are none.
pub(crate) fn ports<const N: usize>(kind: Kind) -> Result<[u16; N], BrokerError> {
    let system = |source| BrokerError::System { broker: kind.name(), source };
    free_ports(N)
        .and_then(|ports| ports.try_into().map_err(|_| std::io::Error::other("too few ports")))
        .map_err(system)
}

#[expect(clippy::disallowed_methods, reason = "test support measures time; this is where it reads it")]
fn now() -> Instant {
    Instant::now()
}
