//! `portcullis-cost`: what the gateway costs beside a bare Pingora proxy. See METHODOLOGY.md.
//! Exit code 0: every limit is kept; 1: one is not; 2: the run could not be made or is void.

mod children;
mod gateway;
mod memory;
mod procfs;
mod statistics;
mod table;
mod tokens;
mod windows;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use portcullis_loadtest::duration::parse_duration;
use tokio::signal::unix::{SignalKind, signal};

use crate::children::{Running, Start, free_addresses};
use crate::gateway::{Doors, HOSTS, ROUTES_PER_HOST, Shape, config, poll, requests};
use crate::table::Figure;
use crate::windows::{Blocks, Window, ratio, sound_blocks};

/// The CPU of the proxies.
const PROXY_CPU: usize = 0;
/// The CPU of the driver and the origin.
const DRIVER_CPU: usize = 1;
/// What may be measured, in the order of the table.
const ENTRIES: [&str; 9] = [
    "bare",
    "bare-again",
    "plain",
    "policies",
    "routes",
    "logged",
    "other-plain",
    "other-policies",
    "other-routes",
];
/// Tokens in use: all of them hot.
const TOKENS: usize = 1_000;

/// Measure what the gateway costs beside a bare Pingora proxy: CPU time per request, memory, time to ready
///
/// Needs Linux, `taskset`, two CPUs, and quiet. Without --gateway only the bare proxy is compared with itself.
#[derive(Debug, Parser)]
#[command(name = "portcullis-cost", version)]
struct Args {
    /// The gateway's binary, such as target/release/portcullis
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// Another build of it, such as the one before a change: the two are compared with each other, and nothing else is
    #[arg(long, value_name = "FILE", requires = "gateway")]
    against: Option<PathBuf>,
    /// Blocks; each measures every entry once
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..=1000))]
    blocks: u16,
    /// Length of each window, such as 2s
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    window: Duration,
    /// Five blocks of two seconds: for a first look, not for a claim
    #[arg(long, conflicts_with_all = ["blocks", "window"])]
    quick: bool,
    /// Requests a second
    #[arg(long, default_value_t = 5000.0)]
    rate: f64,
    /// Folder to write windows.csv and table.md into
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = pin_self().and_then(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Dropping the work, on a signal too, drops the children's handles, and that kills them.
        runtime.map_err(|error| error.to_string())?.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
            let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
            tokio::select! {
                outcome = measure(&args) => outcome,
                _ = interrupt.recv() => Err("interrupted".to_owned()),
                _ = terminate.recv() => Err("terminated".to_owned()),
            }
        })
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("portcullis-cost: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Moves this process to the driver's CPU; what it starts stays there unless it is sent elsewhere.
fn pin_self() -> Result<(), String> {
    let (cpu, own) = (DRIVER_CPU.to_string(), std::process::id().to_string());
    let output = std::process::Command::new("taskset").args(["-a", "-c", "-p", &cpu, &own]).output();
    let output = output.map_err(|error| format!("cannot run taskset: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("cannot use CPU {cpu}; two are needed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The parts that every measurement uses.
#[derive(Debug)]
struct Bench {
    folder: tempfile::TempDir,
    origin: Running,
    tokens: Vec<String>,
    gateway: Option<PathBuf>,
    against: Option<PathBuf>,
}

async fn measure(args: &Args) -> Result<bool, String> {
    let bench = Bench::set_up(args.gateway.clone(), args.against.clone()).await?;
    let mut figures = Vec::new();
    if bench.gateway.is_some() && bench.against.is_none() {
        figures.extend(memory::figures(&bench).await?);
    }
    let blocks = Blocks {
        count: if args.quick { 5 } else { usize::from(args.blocks) },
        window: if args.quick { Duration::from_secs(2) } else { args.window },
        rate_per_s: args.rate,
        variants: requests(&bench.tokens),
        cpu: PROXY_CPU,
    };
    let windows = blocks.run(async || bench.entries().await, note).await?;
    bench.origin.stop().await;
    let sound = sound_blocks(&windows);
    let dropped = blocks.count - sound.len();
    if dropped * 3 > blocks.count {
        return Err(format!("void: too much CPU time was stolen in {dropped} of {} blocks", blocks.count));
    }
    figures.splice(0..0, ratios(&windows, &sound));
    let text = report(args, &blocks, &windows, &sound, &figures);
    show(&text);
    write_out(args.out.as_deref(), &text, &windows)?;
    Ok(figures.iter().all(Figure::passes))
}

fn ratios(windows: &[Window], blocks: &[usize]) -> Vec<Figure> {
    [
        ("bare beside bare (A/A control)", "bare-again", "bare", None),
        ("plain route beside bare", "plain", "bare", Some(1.15)),
        ("hot tokens, limit, retry and breaker beside bare", "policies", "bare", Some(1.3)),
        ("10,000 routes beside one", "routes", "plain", Some(1.03)),
        ("access log to a file beside none", "logged", "plain", None),
        ("plain route beside the other build's", "plain", "other-plain", None),
        ("hot tokens, limit, retry and breaker beside the other build's", "policies", "other-policies", None),
        ("10,000 routes beside the other build's", "routes", "other-routes", None),
    ]
    .into_iter()
    .filter_map(|(what, entry, base, limit)| {
        Some(Figure::ratio(what, ratio(windows, blocks, entry, base)?, limit))
    })
    .collect()
}

fn report(args: &Args, blocks: &Blocks, windows: &[Window], sound: &[usize], figures: &[Figure]) -> String {
    let busiest = windows.iter().map(|window| window.driver_busy).fold(0.0, f64::max);
    let stolen = windows.iter().map(|window| window.stolen).fold(0.0, f64::max);
    let measured: Vec<&str> =
        ENTRIES.into_iter().filter(|name| windows.iter().any(|window| window.entry == *name)).collect();
    format!(
        "{}\n{}\n{} of {} blocks of {:?} counted, {} requests/s; the driver used at most {:.0} % of its CPU; \
         at most {:.1} % of the proxies' CPU was stolen.\n",
        table::figures(figures),
        table::entries(windows, sound, &measured),
        sound.len(),
        blocks.count,
        blocks.window,
        args.rate,
        busiest * 100.0,
        stolen * 100.0
    )
}

fn write_out(folder: Option<&Path>, table: &str, windows: &[Window]) -> Result<(), String> {
    let Some(folder) = folder else { return Ok(()) };
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    write("table.md", table)?;
    write("windows.csv", &table::csv(windows))
}

impl Bench {
    async fn set_up(gateway: Option<PathBuf>, against: Option<PathBuf>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
        let (tokens, jwks) = tokens::make(TOKENS)?;
        let jwks_path = folder.path().join("jwks.json");
        std::fs::write(&jwks_path, jwks).map_err(|error| format!("cannot write the JWKS: {error}"))?;
        let address = *free_addresses(1)?.first().ok_or("no free port")?;
        let arguments = vec![
            "--listen".to_owned(),
            address.to_string(),
            "--jwks".to_owned(),
            jwks_path.display().to_string(),
        ];
        let program = beside_this("portcullis-origin")?;
        let start = Start {
            name: "origin",
            program: &program,
            arguments,
            address,
            cpu: Some(DRIVER_CPU),
            folder: folder.path(),
        };
        let mut origin = Running::start(start)?;
        origin.until_it_answers(&poll("")).await?;
        Ok(Self { folder, origin, tokens, gateway, against })
    }

    /// Everything that is compared, each on the proxies' CPU and answering.
    async fn entries(&self) -> Result<Vec<Running>, String> {
        let shapes = [
            ("plain", "other-plain", Shape::Plain),
            ("policies", "other-policies", Shape::Policies),
            ("routes", "other-routes", Shape::Routes(HOSTS * ROUTES_PER_HOST)),
        ];
        let mut entries = Vec::new();
        if self.against.is_none() {
            entries.extend([self.bare("bare").await?, self.bare("bare-again").await?]);
        }
        for (name, other_name, shape) in shapes {
            for (name, build) in [(name, &self.gateway), (other_name, &self.against)] {
                if let Some(build) = build {
                    entries.push(self.build(build, name, &shape, Some(PROXY_CPU)).await?.0);
                }
            }
        }
        if self.gateway.is_some() && self.against.is_none() {
            let log = self.folder.path().join("access.log").display().to_string();
            entries.push(self.gateway("logged", &Shape::Logged(log), Some(PROXY_CPU)).await?.0);
        }
        Ok(entries)
    }

    async fn bare(&self, name: &str) -> Result<Running, String> {
        let address = *free_addresses(1)?.first().ok_or("no free port")?;
        let arguments = vec![address.to_string(), self.origin.address.to_string(), "1".to_owned()];
        let program = beside_this("portcullis-bare")?;
        let folder = self.folder.path();
        let start = Start { name, program: &program, arguments, address, cpu: Some(PROXY_CPU), folder };
        let mut bare = Running::start(start)?;
        bare.until_it_answers(&self.poll()).await?;
        Ok(bare)
    }

    /// The gateway that is measured, answering, and how long it took to.
    async fn gateway(
        &self,
        name: &str,
        shape: &Shape,
        cpu: Option<usize>,
    ) -> Result<(Running, Duration), String> {
        let program = self.gateway.as_ref().ok_or("no gateway was named")?;
        self.build(program, name, shape, cpu).await
    }

    /// The same of this build.
    async fn build(
        &self,
        program: &Path,
        name: &str,
        shape: &Shape,
        cpu: Option<usize>,
    ) -> Result<(Running, Duration), String> {
        let [web, admin, metrics] = free_addresses(3)?.try_into().map_err(|_| "no free ports".to_owned())?;
        let folder = self.folder.path();
        let (file, state) = (folder.join(format!("{name}.yaml")), folder.join(format!("{name}.state")));
        let text = config(shape, Doors { web, admin, metrics, origin: self.origin.address });
        std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        let arguments =
            ["run", "-c", &file.display().to_string(), "--state-dir", &state.display().to_string()];
        let arguments = arguments.into_iter().chain(["--threads", "1"]).map(str::to_owned).collect();
        let mut running = Running::start(Start { name, program, arguments, address: web, cpu, folder })?;
        let ready = running.until_it_answers(&self.poll()).await?;
        Ok((running, ready))
    }

    fn poll(&self) -> String {
        poll(self.tokens.first().map_or("", String::as_str))
    }
}

/// The benchmark's own parts lie beside it.
fn beside_this(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let path = own.with_file_name(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing; build the whole crate", path.display()))
    }
}

#[expect(clippy::print_stderr, reason = "a long run says on standard error how far it is")]
fn note(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn show(text: &str) {
    print!("{text}");
}
