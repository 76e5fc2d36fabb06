//! `portcullis demo`: a shop on this machine, and a story that shows the gateway at work on it.
//!
//! Starts a registry, four services and the gateway as processes of their own, plays the story and
//! says what it saw. Everything it started is ended with it, however the end comes.

mod broken;
mod story;

mod stage;

mod books;
mod bus;
mod gateway;
mod load;
mod registry;
mod relay;
mod services;
mod shop;

mod folder;
mod http;
mod narrator;
mod ports;
mod processes;
mod samples;
mod wait;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{EXIT_INVALID, complain};
use broken::Broken;
use bus::Broker;
use narrator::{Audience, Held, Narrator};
use shop::PASSWORD;
use stage::{Stage, Upkeep};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  portcullis demo                                  the story, then a shop to play with until Ctrl-C
  portcullis demo --once                           the story alone; exit code 0 only if every step held
  portcullis demo --consul http://127.0.0.1:8500   on a Consul agent instead of the embedded registry
  portcullis demo --bus amqp://127.0.0.1:5672      with events through RabbitMQ; kafka://127.0.0.1:9092 for Kafka")]
pub(super) struct Demo {
    /// Play the story and end; exit code 0 only if every step held
    #[arg(long)]
    once: bool,
    /// Register with this Consul instead of the embedded registry
    #[arg(long, value_name = "URL", value_parser = registry::target)]
    consul: Option<String>,
    /// Carry events through this broker, amqp://… or kafka://…, instead of over HTTP
    // Read by us: an error of clap's would show the password in it.
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// Where customers connect, on this machine (default: 127.0.0.1:8080, or a free port)
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    listen: Option<SocketAddr>,
    /// Print a report in JSON when the story is over; the story itself goes to standard error
    #[arg(long)]
    json: bool,
}

/// The story drives load, and load goes to this machine only.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8080")?;
    if !(address.ip().is_loopback() || address.ip().is_unspecified()) {
        return Err("the demo serves this machine; write 127.0.0.1:PORT, or 0.0.0.0:PORT for every address"
            .to_owned());
    }
    if address.port() == 0 {
        return Err("port 0 is no port to point a browser at; leave --listen out for a free one".to_owned());
    }
    Ok(address)
}

/// How the demo ends.
enum End {
    /// The story was told.
    Told,
    /// A step did not hold, or the stage could not be set.
    Broken(Broken),
    /// Somebody said stop before the story was over.
    Interrupted,
}

impl Demo {
    pub(super) fn run(self) -> ExitCode {
        let bus = match self.bus.as_deref().map(bus::broker).transpose() {
            Ok(bus) => bus,
            Err(why) => {
                complain(&format!("portcullis: --bus: {why}\n"));
                return ExitCode::from(EXIT_INVALID);
            }
        };
        // The first to install a provider wins, and there is only one here.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let played = runtime.and_then(|runtime| runtime.block_on(self.play(bus)));
        played.unwrap_or_else(|error| {
            complain(&format!("portcullis: the demo cannot start: {error}\n"));
            ExitCode::FAILURE
        })
    }

    async fn play(self, bus: Option<Broker>) -> std::io::Result<ExitCode> {
        let mut stop = Stop::listen()?;
        let mut narrator = Narrator::new(if self.json { Audience::Program } else { Audience::People });
        let upkeep = if self.once { Upkeep::Story } else { Upkeep::Playground };
        let set = tokio::select! {
            set = Stage::set(upkeep, self.consul.as_deref(), bus, self.listen) => set,
            () = stop.asked() => return Ok(ExitCode::FAILURE),
        };
        let mut stage = match set {
            Ok(stage) => stage,
            Err(broken) => {
                complain(&format!("portcullis: {broken}\n"));
                return Ok(ExitCode::FAILURE);
            }
        };
        narrator.say("Portcullis demo: a registry, four services and the gateway, on this machine.");
        let end = tokio::select! {
            told = story::tell(&mut stage, &mut narrator) => told.map_or_else(End::Broken, |()| End::Told),
            () = stop.asked() => End::Interrupted,
        };
        let code = self.conclude(end, &mut stage, &mut narrator, &mut stop).await;
        tokio::select! {
            () = stage.strike() => {}
            // Told twice: what still runs is killed when the stage is dropped.
            () = stop.asked() => {}
        }
        Ok(code)
    }

    async fn conclude(
        &self,
        end: End,
        stage: &mut Stage,
        narrator: &mut Narrator,
        stop: &mut Stop,
    ) -> ExitCode {
        let n_held = narrator.n_held();
        match end {
            End::Told => {
                narrator.say(format_args!("\nThe story is told: {n_held} steps, all of them held."));
                narrator.report(Held::Wholly);
                if !self.once {
                    play_on(stage, narrator, stop).await;
                }
                ExitCode::SUCCESS
            }
            End::Broken(broken) => {
                stage.folder.keep();
                show_logs(stage, &broken, narrator);
                narrator.report(Held::NotWholly);
                ExitCode::FAILURE
            }
            End::Interrupted => {
                narrator.say("\ninterrupted; ending everything that was started");
                narrator.report(Held::NotWholly);
                ExitCode::FAILURE
            }
        }
    }
}

/// Where to look, then quiet until somebody says stop.
async fn play_on(stage: &mut Stage, narrator: &Narrator, stop: &mut Stop) {
    narrator.say(directions(stage));
    tokio::select! {
        () = stop.asked() => narrator.say("\nending everything that was started"),
        () = stage.gateway_ended() => narrator.say("\nthe gateway has ended; ending everything else"),
    }
}

fn directions(stage: &Stage) -> String {
    let shop = stage.shop.url("");
    let (admin, metrics) = (stage.doors.admin, stage.doors.metrics);
    let state = stage.folder.state();
    let token_file = state.join(crate::state_dir::TOKEN_FILE);
    let customer = stage.customer.as_ref();
    let (email, token) = customer.map(|customer| (&*customer.email, &*customer.token)).unwrap_or_default();
    format!(
        "
The shop stays open until Ctrl-C. Everything is in {folder}

  configuration  {config} (save it: the gateway reloads)
  logs           {logs}
  registry       {registry}

  curl {shop}/api/products
  curl {shop}/api/orders -H 'Authorization: Bearer {token}'
  curl {shop}/api/sessions --json '{{\"email\":\"{email}\",\"password\":\"{PASSWORD}\"}}'
  curl http://{admin}/api/v1/upstreams -H \"Authorization: Bearer $(cat {token_file})\"
  PORTCULLIS_ADMIN=http://{admin} PORTCULLIS_STATE_DIR={state} portcullis status
  curl http://{metrics}/metrics
  curl 'http://{metrics}/readyz?verbose'",
        folder = stage.folder.path().display(),
        config = stage.folder.config().display(),
        logs = stage.folder.logs().display(),
        registry = stage.registry.describe(),
        token_file = token_file.display(),
        state = state.display(),
    )
}

fn show_logs(stage: &mut Stage, broken: &Broken, narrator: &Narrator) {
    for (name, lines) in stage.logs(broken.log.as_deref()) {
        narrator.say(format_args!("\n      the end of {name}.log:"));
        for line in lines {
            narrator.say(format_args!("        {line}"));
        }
    }
    narrator.say(format_args!(
        "\nEverything is kept in {}; remove it when you are done.",
        stage.folder.path().display()
    ));
}

/// SIGINT and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Somebody says stop.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_listens_on_this_machine_only() {
        assert!(listen("127.0.0.1:8080").is_ok());
        assert!(listen("0.0.0.0:8080").is_ok());
        assert!(listen("192.0.2.1:8080").unwrap_err().contains("this machine"));
        assert!(listen("127.0.0.1:0").is_err());
        assert!(listen("8080").unwrap_err().contains("127.0.0.1:8080"));
    }
}
