//! A load in progress: hands requests on when they are due, judges the answers, adds them up.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::clock::{now, unix_ms};
use crate::connections::{Connections, wrong_of};
use crate::expect::{Expect, Kind, Wrong};
use crate::pacer::{Pacer, Schedule};
use crate::plan::{DURATION_MAX, Plan, PlanError, REQUESTS_MAX};
use crate::report::Report;
use crate::requests::Requests;
use crate::tally::Tally;
use crate::target::Target;

/// Longest body read, in bytes. A longer one is a wrong answer.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A load in progress. Dropping it ends it without a report.
#[derive(Debug)]
pub struct Load {
    run: Arc<Run>,
    pacer: Pacer,
    handing_on: JoinHandle<()>,
}

/// How far a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Requests handed on.
    pub sent: u64,
    /// Right answers.
    pub ok: u64,
    /// Wrong answers, and requests without one.
    pub failed: u64,
}

/// What the tasks of one load share.
#[derive(Debug)]
struct Run {
    requests: Requests,
    connections: Connections,
    expect: Expect,
    spread_header: Option<http::HeaderName>,
    timeout: Duration,
    schedule: Schedule,
    started_unix_ms: u64,
    tally: Mutex<Tally>,
    /// One permit for each request that may still be in flight.
    slots: Arc<Semaphore>,
    slots_max: u32,
}

impl Load {
    /// Begins at once. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The plan asks for something out of range or for a target that is not loopback; nothing was sent.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the pacer, which this load owns")]
    pub fn start(plan: Plan) -> Result<Self, PlanError> {
        plan.check()?;
        let target = Target::parse(&plan.url)?;
        let start = now();
        let started_unix_ms = unix_ms();
        let schedule = Schedule {
            start,
            rate_per_s: plan.rate_per_s,
            end: start + plan.duration.unwrap_or(DURATION_MAX).min(DURATION_MAX),
            requests_max: plan.requests_max.min(REQUESTS_MAX),
        };
        let prefix = format!("load-{:x}-{started_unix_ms:x}", std::process::id());
        let run = Arc::new(Run {
            requests: Requests::of(&plan, &target, prefix),
            connections: Connections::new(target.address, plan.protocol, plan.connections_max),
            expect: plan.expect,
            spread_header: plan.spread_header,
            timeout: plan.timeout,
            schedule,
            started_unix_ms,
            tally: Mutex::new(Tally::new()),
            slots: Arc::new(Semaphore::new(plan.in_flight_max as usize)),
            slots_max: plan.in_flight_max,
        });
        let (pacer, due) = Pacer::start(schedule).map_err(|error| PlanError::Thread(error.to_string()))?;
        let handing_on = tokio::spawn(hand_on(Arc::clone(&run), due));
        Ok(Self { run, pacer, handing_on })
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let tally = self.run.tally();
        Progress { sent: tally.sent, ok: tally.ok, failed: tally.failed }
    }

    /// Sends no more, waits for the answers still due (at most the plan's timeout), and reports.
    pub async fn stop(self) -> Report {
        self.pacer.stop();
        self.wait().await
    }

    /// Waits until the plan's duration or number is reached and the last answer is in, and reports.
    /// A plan without either lasts an hour: use [`Load::stop`].
    pub async fn wait(self) -> Report {
        // The task only adds up; if it panicked there is nothing more to wait for.
        let _ = self.handing_on.await;
        let sending = now().saturating_duration_since(self.run.schedule.start);
        // Every request ends by its own deadline, so all permits come back.
        let _ = self.run.slots.acquire_many(self.run.slots_max).await;
        self.run.report(sending)
    }
}

/// Starts one task for each request that has become due.
#[expect(clippy::disallowed_methods, reason = "each task ends by its request's deadline")]
async fn hand_on(run: Arc<Run>, mut due: mpsc::Receiver<Range<u64>>) {
    while let Some(batch) = due.recv().await {
        for index in batch {
            let lag = now().saturating_duration_since(run.schedule.due(index));
            run.tally().handed_on(micros(lag));
            match Arc::clone(&run.slots).try_acquire_owned() {
                Ok(slot) => {
                    tokio::spawn(exchange(Arc::clone(&run), index, slot));
                }
                Err(_) => {
                    let detail = format!("{} requests were waiting already", run.slots_max);
                    run.tally().failed(index, Wrong::new(Kind::BacklogFull, detail));
                }
            }
        }
    }
}

/// One request, from when it was due to its verdict.
async fn exchange(run: Arc<Run>, index: u64, slot: OwnedSemaphorePermit) {
    let due = run.schedule.due(index);
    let deadline = tokio::time::Instant::from_std(due + run.timeout);
    let verdict = match tokio::time::timeout_at(deadline, run.ask(index)).await {
        Ok(verdict) => verdict,
        Err(_) => Err(Wrong::new(Kind::Timeout, format!("no whole answer within {:?}", run.timeout))),
    };
    let latency = now().saturating_duration_since(due);
    let mut tally = run.tally();
    match verdict {
        Ok(()) => tally.succeeded(micros(latency)),
        Err(wrong) => tally.failed(index, wrong),
    }
    drop(tally);
    drop(slot);
}

impl Run {
    async fn ask(&self, index: u64) -> Result<(), Wrong> {
        let (request, echo) = self.requests.make(index);
        let (response, lease) = self.connections.send(request).await?;
        let (head, body) = response.into_parts();
        self.count(&head);
        let body = read(body).await?;
        self.connections.give_back(lease);
        self.expect.judge(head.status, &body)?;
        if let Some((name, id)) = echo
            && head.headers.get(name) != Some(&id)
        {
            let detail = format!("sent {id:?}, came back {:?}", head.headers.get(name));
            return Err(Wrong::new(Kind::RequestId, detail));
        }
        Ok(())
    }

    fn count(&self, head: &http::response::Parts) {
        let mut tally = self.tally();
        *tally.statuses.entry(head.status.as_u16()).or_default() += 1;
        if let Some(name) = &self.spread_header
            && let Some(value) = head.headers.get(name)
        {
            tally.answered_by(&String::from_utf8_lossy(value.as_bytes()));
        }
    }

    fn report(&self, sending: Duration) -> Report {
        let tally = self.tally();
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let rate_reached_per_s = tally.sent as f64 / sending.as_secs_f64().max(f64::MIN_POSITIVE);
        Report {
            sent: tally.sent,
            ok: tally.ok,
            failed: tally.failed,
            failed_by_kind: tally.failed_by_kind(),
            latency: tally.latency(),
            driver_lag: tally.lag(),
            statuses: tally.statuses.clone(),
            spread: tally.spread.clone(),
            connections_opened: self.connections.opened(),
            rate_wanted_per_s: self.schedule.rate_per_s,
            rate_reached_per_s,
            started_unix_ms: self.started_unix_ms,
            ended_unix_ms: unix_ms(),
        }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counts are whole between any two additions, so a poisoned lock changes nothing.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(body: Incoming) -> Result<Bytes, Wrong> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => wrong_of(&error),
            Err(other) => Wrong::new(Kind::BodyTooLong, other.to_string()),
        }),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
