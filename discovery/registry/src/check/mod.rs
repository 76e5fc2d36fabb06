//! Carries out what the store has decided about checks: tries, expiry, deregistration.
//! It reads the next deadline from the store and sleeps until then; it takes no decision about a status.

mod http;
mod tcp;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

pub(crate) use self::http::HttpClients;
use crate::clock;
use crate::limits::TRIES_AT_ONCE_MAX;
use crate::store::{Command, Probe, TryJob, TryResult};
use crate::wait::Shared;

/// Runs until the registry closes. Tries under way are dropped then.
pub(crate) async fn keep(shared: Arc<Shared>, clients: HttpClients, reap_tick: Duration) {
    let mut rescheduled = shared.rescheduled();
    let mut tries: JoinSet<()> = JoinSet::new();
    let mut reap_at = shared.now().saturating_add(reap_tick);
    loop {
        rescheduled.mark_unchanged();
        step(&shared, &clients, &mut tries);
        if shared.now() >= reap_at {
            reap(&shared);
            reap_at = shared.now().saturating_add(reap_tick);
        }
        let full = tries.len() >= TRIES_AT_ONCE_MAX;
        let next = shared.look(crate::store::Store::next_deadline).filter(|_| !full);
        let next = next.map_or(reap_at, |next| next.min(reap_at));
        tokio::select! {
            () = tokio::time::sleep(next.saturating_sub(shared.now()).max(clock::TICK)) => {}
            _ = rescheduled.changed() => {}
            Some(_) = tries.join_next(), if !tries.is_empty() => {}
            () = shared.closed() => return,
        }
    }
}

fn step(shared: &Arc<Shared>, clients: &HttpClients, tries: &mut JoinSet<()>) {
    if let Err(refusal) = shared.apply(Command::Expire) {
        warn!(%refusal, "ttl checks could not be expired");
    }
    let max = TRIES_AT_ONCE_MAX.saturating_sub(tries.len());
    let jobs = shared.apply(Command::StartTries { max }).map(|changes| changes.tries).unwrap_or_default();
    for job in jobs {
        let (shared, clients) = (Arc::clone(shared), clients.clone());
        tries.spawn(async move { finish(&shared, &clients, job).await });
    }
}

async fn finish(shared: &Shared, clients: &HttpClients, job: TryJob) {
    let result = try_once(clients, &job).await;
    debug!(check = job.id, status = %result.status, "check tried");
    let finish = Command::FinishTry { id: job.id, generation: job.generation, result };
    if let Err(refusal) = shared.apply(finish) {
        warn!(%refusal, "the result of a check was refused");
    }
}

async fn try_once(clients: &HttpClients, job: &TryJob) -> TryResult {
    match &job.probe {
        Probe::Tcp { address } => tcp::try_once(address, job.timeout).await,
        Probe::Http { url, method, headers, body, tls_skip_verify } => {
            let ask = http::Ask { url, method, headers, body, tls_skip_verify: *tls_skip_verify };
            clients.try_once(&ask, job.timeout).await
        }
    }
}

fn reap(shared: &Shared) {
    match shared.apply(Command::Reap) {
        Ok(changes) => {
            for service in changes.reaped {
                info!(service, "service deregistered, its check was critical for too long");
            }
        }
        Err(refusal) => warn!(%refusal, "critical services could not be deregistered"),
    }
}
