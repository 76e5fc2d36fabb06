//! Everything the story plays on: the folder, the registry, the services, the gateway and the
//! customer. Started piece by piece by the story, ended in order by [`Stage::strike`].

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::broken::{Broken, ensure};
use super::bus::Broker;
use super::folder::Folder;
use super::gateway::Gateway;
use super::http::Http;
use super::load::Load;
use super::ports::{Doors, Liking};
use super::processes::{Process, Program, Programs, append, tail};
use super::registry::{self, Registry};
use super::services::{Instance, Service, Surroundings};
use super::shop::Shop;
use super::wait::until;

/// The shop's configuration.
pub(super) const CONFIG: &str = include_str!("../../../../config/examples/demo.yaml");
/// Longest wait for the gateway to take traffic.
const READY_WAIT: Duration = Duration::from_secs(20);
/// Longest wait for so many answers under load.
const ANSWERS_WAIT: Duration = Duration::from_secs(40);
/// Lines of the access log that are searched for a request.
const ACCESS_LINES_MAX: usize = 2_000;
/// Lines shown of a log when something went wrong.
const TAIL_LINES: usize = 12;

/// How the gateway is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upkeep {
    /// For one story: what it is told it reloads.
    Story,
    /// For somebody to play with: it reloads when its file is saved.
    Playground,
}

/// Somebody who signed up and logged in.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) email: String,
    pub(super) token: String,
}

/// The demo's world.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) programs: Programs,
    pub(super) registry: Registry,
    pub(super) instances: Vec<Instance>,
    pub(super) gateway: Gateway,
    pub(super) shop: Shop,
    /// The gateway as the services among themselves know it.
    pub(super) inside: Http,
    pub(super) bus: Option<Broker>,
    pub(super) doors: Doors,
    pub(super) customer: Option<Customer>,
    gateway_process: Option<Process>,
    upkeep: Upkeep,
    n_started: usize,
    /// Ids of instances that could not deregister any more.
    lost: Vec<String>,
}

impl Stage {
    /// An empty stage with a registry on it, if those who should be there already are there.
    pub(super) async fn set(
        upkeep: Upkeep,
        consul: Option<&str>,
        bus: Option<Broker>,
        listen: Option<SocketAddr>,
    ) -> Result<Self, Broken> {
        if let Some(target) = consul {
            registry::reach(target).await?;
        }
        if let Some(broker) = &bus {
            broker.reach().await?;
        }
        let folder = Folder::make()?;
        let programs = Programs::find(folder.logs())?;
        let liking = match upkeep {
            Upkeep::Story => Liking::Free,
            Upkeep::Playground => Liking::Usual,
        };
        let doors = Doors::pick(liking, listen)?;
        let registry = match consul {
            None => Registry::embedded(&programs).await?,
            Some(url) => Registry::consul(url).await?,
        };
        Ok(Self {
            gateway: Gateway::new(&doors)?,
            shop: Shop::new(format!("http://{}", from_here(doors.web)))?,
            inside: Http::new(format!("http://{}", doors.internal))?,
            bus,
            folder,
            programs,
            registry,
            doors,
            instances: Vec::new(),
            customer: None,
            gateway_process: None,
            upkeep,
            n_started: 0,
            lost: Vec::new(),
        })
    }

    /// Starts one more instance of a service.
    pub(super) async fn start(&mut self, service: Service) -> Result<&Instance, Broken> {
        self.start_with(service, &[]).await
    }

    /// Starts one more instance of a service that is told something of its own.
    pub(super) async fn start_with(
        &mut self,
        service: Service,
        own: &[(&str, &str)],
    ) -> Result<&Instance, Broken> {
        self.n_started += 1;
        let name = format!("{}-{}", service.short(), self.n_started);
        let data = self.folder.data(service.short())?;
        let around = Surroundings {
            data: &data,
            registry: self.registry.url(),
            gateway: self.doors.internal,
            bus: self.bus.as_ref().map(Broker::url),
            own,
        };
        let instance = Instance::start(&self.programs, service, &name, around).await?;
        self.instances.push(instance);
        self.instances.last().ok_or_else(|| Broken::new("no instance"))
    }

    /// Starts the gateway and waits until it takes traffic.
    pub(super) async fn start_gateway(&mut self) -> Result<(), Broken> {
        self.folder.write_config(CONFIG)?;
        let access_log = self.programs.log_file("access.log");
        let access_log =
            append(&access_log).map_err(|error| Broken::new(format!("{}: {error}", access_log.display())))?;
        let mut command = self.programs.command(Program::Gateway);
        command
            .arg("run")
            .arg("--config")
            .arg(self.folder.config())
            .arg("--state-dir")
            .arg(self.folder.state());
        command.arg("--reveal");
        match self.upkeep {
            Upkeep::Story => {}
            Upkeep::Playground => {
                command.arg("--watch");
            }
        }
        for (variable, door) in [
            ("WEB_ADDRESS", self.doors.web),
            ("INTERNAL_ADDRESS", self.doors.internal),
            ("ADMIN_ADDRESS", self.doors.admin),
            ("METRICS_ADDRESS", self.doors.metrics),
        ] {
            command.env(variable, door.to_string());
        }
        command.env("CONSUL_HTTP_ADDR", self.registry.url()).stdout(access_log);
        self.gateway_process = Some(self.programs.start("gateway", command)?);
        self.gateway_is_ready().await.map_err(|broken| broken.see("gateway"))
    }

    async fn gateway_is_ready(&mut self) -> Result<(), Broken> {
        let Self { gateway, gateway_process, .. } = self;
        let ready = until("the gateway to be ready", READY_WAIT, async || {
            if let Some(status) = gateway_process.as_mut().and_then(Process::ended) {
                return Ok(Err(Broken::new(format!("the gateway ended at once: {status}"))));
            }
            gateway.readiness().await?.expect(200)?;
            Ok(Ok(()))
        });
        ready.await.flatten()?;
        self.gateway.read_token(&self.folder.state())
    }

    /// The first running instance of a service.
    pub(super) fn one(&self, service: Service) -> Result<&Instance, Broken> {
        let found = self.instances.iter().find(|instance| instance.service == service);
        found.ok_or_else(|| Broken::new(format!("no {} runs", service.name())))
    }

    /// Takes the last started instance of a service from the stage, to end it.
    pub(super) fn take(&mut self, service: Service) -> Result<Instance, Broken> {
        let last = self.instances.iter().rposition(|instance| instance.service == service);
        last.map(|idx| self.instances.remove(idx))
            .ok_or_else(|| Broken::new(format!("no {} runs", service.name())))
    }

    /// Kills the last started instance of a service; what it was registered as is left behind.
    pub(super) async fn kill_one(&mut self, service: Service) -> Result<SocketAddr, Broken> {
        let mut instance = self.take(service)?;
        self.lost.push(instance.id());
        instance.process.kill().await;
        Ok(instance.address)
    }

    /// Asks an instance of a service that is not at `kept` to stop, and waits until it has. False if there is none.
    pub(super) async fn stop_other(&mut self, service: Service, kept: &[SocketAddr]) -> bool {
        let is_other = |instance: &Instance| instance.service == service && !kept.contains(&instance.address);
        let Some(idx) = self.instances.iter().position(is_other) else { return false };
        self.instances.remove(idx).process.stop().await;
        true
    }

    /// Whether an instance died by itself.
    pub(super) fn somebody_died(&mut self) -> bool {
        self.instances.iter_mut().any(|instance| instance.process.ended().is_some())
    }

    /// Takes an instance that died by itself from the stage; what it was registered as is left behind.
    pub(super) fn bury_one(&mut self) -> Option<Instance> {
        let idx = self.instances.iter_mut().position(|instance| instance.process.ended().is_some())?;
        let dead = self.instances.remove(idx);
        self.lost.push(dead.id());
        Some(dead)
    }

    /// How many instances of a service run.
    pub(super) fn n_running(&self, service: Service) -> usize {
        self.instances.iter().filter(|instance| instance.service == service).count()
    }

    pub(super) fn customer(&self) -> Result<&Customer, Broken> {
        self.customer.as_ref().ok_or_else(|| Broken::new("nobody has logged in"))
    }

    /// Begins a load on the catalogue.
    pub(super) fn load_products(&self) -> Result<Load, Broken> {
        Load::start(&self.programs, &self.shop.url("/api/products"))
    }

    /// Waits until the gateway has answered `n` more requests for products.
    pub(super) async fn answers(&self, n: u32) -> Result<(), Broken> {
        let began = self.gateway.n_requests("products").await?;
        until(&format!("{n} more answers"), ANSWERS_WAIT, async || {
            let answered = self.gateway.n_requests("products").await? - began;
            Ok(ensure(answered >= f64::from(n), || format!("{answered} answers"))?)
        })
        .await
    }

    /// The lines of the access log about a request, by its id.
    pub(super) fn access_lines(&self, id: &str) -> Vec<Value> {
        let lines = tail(&self.programs.log_file("access.log"), ACCESS_LINES_MAX);
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line.get("id").and_then(Value::as_str) == Some(id)).collect()
    }

    /// What the gateway logged last, beside the access log.
    pub(super) fn gateway_lines(&self) -> Vec<Value> {
        self.gateway_process.as_ref().map(Process::lines).unwrap_or_default()
    }

    /// Ends when the gateway does.
    pub(super) async fn gateway_ended(&mut self) {
        match &mut self.gateway_process {
            Some(process) => {
                // Whatever is said of its end, it has ended.
                let _ = process.child.wait().await;
            }
            None => std::future::pending().await,
        }
    }

    /// The ends of the logs that may say what went wrong: the one that is named, the gateway's,
    /// and those of processes that ended by themselves.
    pub(super) fn logs(&mut self, named: Option<&str>) -> Vec<(String, Vec<String>)> {
        let mut names: Vec<String> = named.map(str::to_owned).into_iter().collect();
        for instance in &mut self.instances {
            if instance.process.ended().is_some() {
                names.push(instance.process.name.clone());
            }
        }
        names.extend(self.gateway_process.as_ref().map(|process| process.name.clone()));
        names.dedup();
        let logs = self.folder.logs();
        names
            .into_iter()
            .map(|name| (name.clone(), tail(&logs.join(format!("{name}.log")), TAIL_LINES)))
            .collect()
    }

    /// Ends everything, each by its own pid: services first, so that they can say goodbye to the
    /// registry, then the gateway, then the registry.
    pub(super) async fn strike(&mut self) {
        for instance in &self.instances {
            instance.process.terminate();
        }
        for instance in &mut self.instances {
            instance.process.stop().await;
        }
        for id in self.lost.drain(..) {
            // A registry that is gone has nothing to forget.
            let _ = self.registry.forget(&id).await;
        }
        if let Some(process) = &mut self.gateway_process {
            process.stop().await;
        }
        self.registry.stop().await;
    }
}

/// The address by which this machine reaches a listener: loopback for "every address".
fn from_here(listener: SocketAddr) -> SocketAddr {
    match listener {
        SocketAddr::V4(address) if address.ip().is_unspecified() => ([127, 0, 0, 1], address.port()).into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, address.port()).into()
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => listener,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_over_loopback() {
        let reached = |listener: &str| from_here(listener.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("127.0.0.2:80"), "127.0.0.2:80");
    }
}
