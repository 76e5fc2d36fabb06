//! `portcullis-mayhem`: kills the shop's processes at seeded points while customers order, then does the books.
//! Exit code 0: nothing was lost and nothing happened twice; 1: not so, or the run could not go on; 2: wrong usage.

mod audit;
mod books;
mod clock;
mod customers;
mod dice;
mod http;
mod killer;
mod plan;
mod stage;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use portcullis_loadtest::duration::parse_duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use books::Check;
use customers::{Customer, Told};
use dice::Dice;
use stage::{Bus, Stage};
use table::Kills;

/// Most kills of one run.
const KILLS_MAX: u64 = 10_000;

/// Kill the shop's processes at seeded points while customers order, then check that nothing was lost or doubled
///
/// Starts registry, gateway, four services and, for amqp and kafka, a throw-away broker, all on loopback
/// and from the folder of this program. Customers order and cancel through the gateway. Each kill is
/// SIGKILL, at a named point of a service or at once; what was killed is started again on its data. At
/// the end every order has to be paid or cancelled, stock and ledger have to agree with the orders.
#[derive(Debug, Parser)]
#[command(name = "portcullis-mayhem", version)]
struct Args {
    /// What carries the events
    #[arg(long, value_enum, default_value = "http")]
    bus: Bus,
    /// How many processes are killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=KILLS_MAX))]
    kills: u64,
    /// What the plan of kills follows from; the same seed plans the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Customers who order at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=16))]
    customers: u64,
    /// The run fails if it takes longer
    #[arg(long, value_parser = parse_duration, default_value = "60m", value_name = "DURATION")]
    within: Duration,
    /// Keep logs and databases even if everything holds
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ran = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            match tokio::time::timeout(args.within, run(&args)).await {
                Ok(ran) => ran,
                Err(_) => Err(format!("not done within {:?}", args.within)),
            }
        })
    });
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            note(&format!("portcullis-mayhem: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
async fn run(args: &Args) -> Result<bool, String> {
    let began = clock::now();
    let folder = TempDir::with_prefix("portcullis-mayhem-").map_err(|error| error.to_string())?;
    note(&format!("{}, {} kills, seed {}: starting the shop", args.bus.name(), args.kills, args.seed));
    let mut stage = Stage::set(args.bus, folder).await?;
    let mut kills = Kills::default();
    let outcome = play(args, &mut stage, &mut kills).await;
    let took = clock::now().duration_since(began).as_secs_f64();
    show(&format!("\n{}", kills.table()));
    let balances = match &outcome {
        Ok(checks) => {
            show(&format!("\n{}", books::table(checks)));
            checks.iter().all(|check| check.holds)
        }
        Err(_) => false,
    };
    let missed = kills.missed();
    if !missed.is_empty() {
        show(&format!("\nnever reached, and killed at once instead: {}\n", missed.join(", ")));
    }
    let holds = balances && !kills.has_untried();
    let word = match (balances, holds) {
        (true, true) => "nothing lost, nothing doubled",
        (true, false) => "nothing lost, nothing doubled, but a step was never tried",
        (false, _) => "BROKEN",
    };
    let (bus, seed, n_died) = (args.bus.name(), args.seed, kills.n_died());
    show(&format!("\n{bus}, seed {seed}: {n_died} killed in {took:.0} s: {word}\n"));
    if args.keep || !holds {
        note(&format!("logs and databases are in {}", stage.keep().display()));
    }
    outcome.map(|_| holds)
}

async fn play(args: &Args, stage: &mut Stage, kills: &mut Kills) -> Result<Vec<Check>, String> {
    let (stop, stopping) = watch::channel(false);
    let mut shopping = JoinSet::new();
    let mut customers = Vec::new();
    for n in 1..=args.customers {
        let email = format!("customer-{n}@shop.example");
        let customer = Customer::arrive(&stage.http, stage.web, &email, Dice::nth(args.seed, n)).await?;
        customers.push(customer.clone());
        shopping.spawn(customer.shop(stopping.clone()));
    }
    let has_broker = args.bus != Bus::Http;
    let kills_planned = usize::try_from(args.kills).unwrap_or(usize::MAX);
    let plan = plan::plan(args.seed, kills_planned, has_broker);
    // Where that ends early somebody may lie dead: customers would wait for an answer that cannot come, and tell of that.
    killer::carry_out(&plan, args.seed, stage, kills).await?;
    let _ = stop.send(true);
    let mut told = Told::default();
    while let Some(done) = shopping.join_next().await {
        told.add(done.map_err(|error| error.to_string())??);
    }
    note("all kills are done and the customers have gone; waiting for every order to settle");
    let books = audit::audit(stage, &customers, &told).await?;
    Ok(books.checks())
}

#[expect(clippy::print_stderr, reason = "a long run says on standard error how far it is")]
fn note(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "the tables are what the command is for")]
fn show(text: &str) {
    print!("{text}");
}
