//! The shop on this machine, as processes: started, killed, and started again where they were.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_brokers::{Broker, Guarded, GuardedCommand, Kind, free_ports};
use serde_json::json;
use tempfile::TempDir;

use crate::clock::{now, poll};
use crate::http::{Ask, Http};
use crate::plan::{Payment, Victim};

/// The configuration that the demo runs, and that people copy.
const CONFIG: &str = include_str!("../../../../config/examples/demo.yaml");
/// Longest wait for a process to serve.
const SERVE_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for the gateway to know all services.
const READY_WAIT: Duration = Duration::from_secs(60);
/// Amounts above are declined, so that some orders take that road.
const CHARGE_MAX_CENTS: u64 = 40_000;
/// Bytes of a log that are shown.
const LAST_WORDS_BYTES: usize = 2_000;

/// What carries the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bus {
    /// No broker: over HTTP, through the gateway
    Http,
    /// RabbitMQ
    Amqp,
    /// Kafka
    Kafka,
}

impl Bus {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "events over HTTP",
            Self::Amqp => "events over RabbitMQ",
            Self::Kafka => "events over Kafka",
        }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) http: Http,
    pub(crate) web: SocketAddr,
    programs: PathBuf,
    ports: Ports,
    /// How the order service that is started next has its orders paid, and how the running one does.
    payment: Payment,
    payment_now: Payment,
    // Ended in this order: services, gateway, registry, broker; the folder goes last.
    services: [Option<Guarded>; 4],
    gateway: Option<Guarded>,
    registry: Option<Guarded>,
    broker: Option<Broker>,
    folder: TempDir,
}

/// Where each listens, the same after each restart.
#[derive(Debug)]
struct Ports {
    services: [SocketAddr; 4],
    registry: SocketAddr,
    internal: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
}

/// The services in the order of their places.
pub(crate) const SERVICES: [Victim; 4] = [Victim::User, Victim::Product, Victim::Order, Victim::Payment];

impl Stage {
    /// Starts everything and waits until the gateway serves all of it.
    pub(crate) async fn set(bus: Bus, folder: TempDir) -> Result<Self, String> {
        let broker = match bus {
            Bus::Http => None,
            Bus::Amqp => Some(Kind::RabbitMq),
            Bus::Kafka => Some(Kind::Kafka),
        };
        let broker = broker.map(Broker::start).transpose().map_err(|error| error.to_string())?;
        let ports = free_ports(9).map_err(|error| error.to_string())?;
        let mut ports = ports.into_iter().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut port = || ports.next().ok_or_else(|| "too few free ports".to_owned());
        let web = port()?;
        let ports = Ports {
            services: [port()?, port()?, port()?, port()?],
            registry: port()?,
            internal: port()?,
            admin: port()?,
            metrics: port()?,
        };
        let mut stage = Self {
            http: Http::new(),
            web,
            programs: beside_this()?,
            ports,
            payment: Payment::Event,
            payment_now: Payment::Event,
            services: [None, None, None, None],
            gateway: None,
            registry: None,
            broker,
            folder,
        };
        std::fs::write(stage.folder.path().join("gateway.yaml"), CONFIG)
            .map_err(|error| error.to_string())?;
        stage.start(Victim::Registry).await?;
        for service in SERVICES {
            stage.start(service).await?;
        }
        stage.start(Victim::Gateway).await?;
        Ok(stage)
    }

    /// A service's own address, past the gateway.
    pub(crate) fn address(&self, service: Victim) -> SocketAddr {
        let place = SERVICES.iter().position(|known| *known == service);
        place.and_then(|place| self.ports.services.get(place)).copied().unwrap_or(self.web)
    }

    /// How the running order service has its orders paid.
    pub(crate) fn payment_now(&self) -> Payment {
        self.payment_now
    }

    /// The next order service that is started has its orders paid so.
    pub(crate) fn pay_by(&mut self, payment: Payment) {
        self.payment = payment;
    }

    /// Tells a service to kill itself at a point.
    pub(crate) async fn arm(&self, service: Victim, point: &str, nth: u32) -> Result<(), String> {
        let body = json!({ "crash": { "point": point, "nth": nth } });
        self.http.expect(200, Ask::put(self.address(service), "/mischief", body)).await.map(|_| ())
    }

    /// Whether a process runs.
    pub(crate) fn is_alive(&self, victim: Victim) -> bool {
        match victim {
            Victim::Gateway => self.gateway.as_ref(),
            Victim::Registry => self.registry.as_ref(),
            Victim::Broker => return self.broker.is_some(),
            Victim::User | Victim::Product | Victim::Order | Victim::Payment => self.service(victim),
        }
        .is_some_and(Guarded::is_alive)
    }

    fn service(&self, service: Victim) -> Option<&Guarded> {
        let place = SERVICES.iter().position(|known| *known == service)?;
        self.services.get(place)?.as_ref()
    }

    /// SIGKILL; what has died already is cleared away.
    pub(crate) fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Gateway => self.gateway = None,
            Victim::Registry => self.registry = None,
            Victim::Broker => {
                if let Some(broker) = &mut self.broker {
                    broker.kill();
                }
            }
            Victim::User | Victim::Product | Victim::Order | Victim::Payment => {
                let place = SERVICES.iter().position(|known| *known == victim);
                if let Some(service) = place.and_then(|place| self.services.get_mut(place)) {
                    *service = None;
                }
            }
        }
    }

    /// Starts what was killed, on its data and at its address, and waits until it serves.
    pub(crate) async fn start(&mut self, victim: Victim) -> Result<(), String> {
        match victim {
            Victim::Broker => {
                let Some(mut broker) = self.broker.take() else { return Ok(()) };
                let started = tokio::task::spawn_blocking(move || {
                    let started = broker.start_again();
                    (broker, started)
                });
                let (broker, started) = started.await.map_err(|error| error.to_string())?;
                self.broker = Some(broker);
                started.map_err(|error| error.to_string())
            }
            Victim::Registry => {
                let address = self.ports.registry;
                let command =
                    self.command("registry", "portcullis-registry").arg("--listen").arg(address.to_string());
                self.registry = Some(self.serving(command, address, "/v1/status/leader", "registry").await?);
                Ok(())
            }
            Victim::Gateway => {
                let command = self.gateway_command();
                self.gateway = Some(self.serving(command, self.ports.metrics, "/readyz", "gateway").await?);
                Ok(())
            }
            Victim::User | Victim::Product | Victim::Order | Victim::Payment => {
                let address = self.address(victim);
                let command = self.service_command(victim, address)?;
                let running = self.serving(command, address, "/healthz", victim.name()).await?;
                if victim == Victim::Order {
                    self.payment_now = self.payment;
                }
                let place = SERVICES.iter().position(|known| *known == victim);
                if let Some(service) = place.and_then(|place| self.services.get_mut(place)) {
                    *service = Some(running);
                }
                Ok(())
            }
        }
    }

    /// Starts a process and polls until it answers with 200.
    async fn serving(
        &self,
        command: GuardedCommand,
        address: SocketAddr,
        path: &str,
        name: &str,
    ) -> Result<Guarded, String> {
        let log = command.log.clone();
        let running = Guarded::start(&command).map_err(|error| format!("cannot start {name}: {error}"))?;
        let until = now() + if name == "gateway" { READY_WAIT } else { SERVE_WAIT };
        loop {
            let why = match self.http.expect(200, Ask::get(address, path)).await {
                Ok(_) => return Ok(running),
                Err(why) => why,
            };
            if !running.is_alive() {
                return Err(format!("{name} ended by itself; its last words:\n{}", last_words(&log)));
            }
            if now() > until {
                return Err(format!("{name} does not serve: {why}; its last words:\n{}", last_words(&log)));
            }
            poll().await;
        }
    }

    fn command(&self, name: &str, program: &str) -> GuardedCommand {
        let log = self.folder.path().join(format!("{name}.log"));
        // Proxies of the environment are for other machines.
        GuardedCommand::new(self.programs.join(program), log).env("NO_PROXY", "*").env("no_proxy", "*")
    }

    fn gateway_command(&self) -> GuardedCommand {
        let folder = self.folder.path();
        self.command("gateway", "portcullis")
            .arg("run")
            .arg("--config")
            .arg(folder.join("gateway.yaml"))
            .arg("--state-dir")
            .arg(folder.join("state"))
            .env("WEB_ADDRESS", self.web.to_string())
            .env("INTERNAL_ADDRESS", self.ports.internal.to_string())
            .env("ADMIN_ADDRESS", self.ports.admin.to_string())
            .env("METRICS_ADDRESS", self.ports.metrics.to_string())
            .env("CONSUL_HTTP_ADDR", format!("http://{}", self.ports.registry))
    }

    fn service_command(&self, service: Victim, address: SocketAddr) -> Result<GuardedCommand, String> {
        let data = self.folder.path().join(service.name());
        std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        Ok(self
            .command(service.name(), &format!("portcullis-{}", service.name()))
            .env("LISTEN", address.to_string())
            .env("CONSUL_HTTP_ADDR", format!("http://{}", self.ports.registry))
            .env("GATEWAY_URL", format!("http://{}", self.ports.internal))
            .env("DATA_DIR", data)
            .env("BUS_URL", self.bus_url())
            .env("PAYMENT", self.payment.name())
            .env("MISCHIEF", "on")
            .env("CHARGE_MAX", CHARGE_MAX_CENTS.to_string()))
    }

    fn bus_url(&self) -> String {
        match &self.broker {
            None => String::new(),
            Some(broker) if broker.kind() == Kind::Kafka => {
                // Members of a group die here every few seconds; a session of the usual length would
                // be all that the run waits for.
                format!("{}?session.timeout.ms=1000&heartbeat.interval.ms=300", broker.url())
            }
            Some(broker) => broker.url().to_owned(),
        }
    }

    /// Keeps logs and databases for somebody to read.
    pub(crate) fn keep(self) -> PathBuf {
        let Self { services, gateway, registry, broker, folder, .. } = self;
        drop((services, gateway, registry, broker));
        folder.keep()
    }
}

/// The programs lie beside this one.
fn beside_this() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let folder = own.parent().map(Path::to_path_buf).unwrap_or_default();
    let names = [
        "portcullis",
        "portcullis-registry",
        "portcullis-user",
        "portcullis-product",
        "portcullis-order",
        "portcullis-payment",
    ];
    let missing: Vec<&str> = names.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        Ok(folder)
    } else {
        Err(format!("missing in {}: {}; run `./run build` first", folder.display(), missing.join(", ")))
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let start = text.len().saturating_sub(LAST_WORDS_BYTES);
    String::from_utf8_lossy(text.get(start..).unwrap_or_default()).into_owned()
}
