//! Misbehaving on request: latency, errors, hangs, declined payments, and crashes at named points.
//!
//! For tests and demonstrations of what gateway, bus and databases do about it. Nothing here acts
//! unless the operator said `MISCHIEF=on` or `CRASH_AT=POINT:NTH`. A crash is SIGKILL: no handler
//! runs, no buffer is flushed, just as when a machine loses its power.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa_axum::router::OpenApiRouter;

use crate::chance::roll;
use crate::problem::Problem;
use crate::settings::{BadSetting, Variables};

/// The points at which a service can be told to die, in the order of an order's life.
pub const POINTS: [&str; 17] = [
    "order.placed",
    "order.reserving",
    "order.reserved_before_commit",
    "order.reserved",
    "order.charging",
    "order.charged_before_commit",
    "order.paid",
    "product.reserve_before_commit",
    "product.reserve_committed",
    "payment.charge_before_commit",
    "payment.charge_committed",
    "outbox.before_publish",
    "outbox.published",
    "outbox.marked",
    "inbox.before_commit",
    "inbox.committed",
    "inbox.acknowledged",
];

/// Longest added latency: a switch left on must not hold requests for ever.
const LATENCY_MS_MAX: u64 = 60_000;
/// How long a hang lasts, for the same reason.
const HANG: Duration = Duration::from_secs(60);

/// A crash that is to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Where; one of [`POINTS`].
    pub point: String,
    /// The how manieth time this point is reached, from 1.
    pub nth: u32,
}

/// A crash that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a crash is POINT:NTH with NTH from 1 and POINT one of {}", POINTS.join(", "))]
pub struct BadCrash;

impl Crash {
    /// Reads `POINT:NTH`.
    ///
    /// # Errors
    /// When the point is not known or the number is not from 1.
    pub fn parse(text: &str) -> Result<Self, BadCrash> {
        let (point, nth) = text.split_once(':').ok_or(BadCrash)?;
        Self { point: point.to_owned(), nth: nth.parse().map_err(|_| BadCrash)? }.checked()
    }

    fn checked(self) -> Result<Self, BadCrash> {
        if self.nth > 0 && POINTS.contains(&&*self.point) { Ok(self) } else { Err(BadCrash) }
    }
}

/// Whether the operator allows mischief: `MISCHIEF` is `on`, and not `off` or unset.
///
/// # Errors
/// When it is something else.
pub fn is_allowed(variables: &Variables) -> Result<bool, BadSetting> {
    match variables.text("MISCHIEF") {
        None => Ok(false),
        Some(value) if value == "on" || value == "off" => Ok(value == "on"),
        Some(value) => Err(BadSetting { name: "MISCHIEF", value, expected: "on or off" }),
    }
}

/// Whether a crash is armed. The one thing a point costs while none is.
static IS_ARMED: AtomicBool = AtomicBool::new(false);
/// The armed crash. It is the process's: a point is reached deep inside the work, where no switch is at hand.
static ARMED: Mutex<Option<Crash>> = Mutex::new(None);

/// Arms a crash, or disarms it.
pub fn arm(crash: Option<Crash>) {
    let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
    IS_ARMED.store(crash.is_some(), Ordering::Relaxed);
    *armed = crash;
}

/// Dies here if that was asked for.
pub fn reached(point: &'static str) {
    debug_assert!(POINTS.contains(&point), "{point} is not listed");
    if IS_ARMED.load(Ordering::Relaxed)
        && is_due(&mut ARMED.lock().unwrap_or_else(PoisonError::into_inner), point)
    {
        tracing::warn!(point, "told to crash here");
        // It fails for no process that may signal itself; and there is nobody to tell.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Counts down to the crash.
fn is_due(armed: &mut Option<Crash>, point: &str) -> bool {
    let Some(crash) = armed.as_mut().filter(|crash| crash.point == point) else { return false };
    crash.nth = crash.nth.saturating_sub(1);
    crash.nth == 0
}

/// How the service misbehaves; all off at start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mischief {
    /// Added to every answer, in milliseconds.
    pub latency_ms: u64,
    /// The share of requests that are answered 503, 0 to 1.
    pub error_rate: f64,
    /// Take the request and say nothing.
    pub hang: bool,
    /// Decline every charge; only the payment service charges.
    pub decline: bool,
    /// Die at a point; counts down from when it is set.
    pub crash: Option<Crash>,
}

/// The switches of one service.
#[derive(Debug, Clone, Default)]
pub struct Switches(Arc<RwLock<Mischief>>);

impl Switches {
    /// How the service misbehaves at the moment.
    #[must_use]
    pub fn get(&self) -> Mischief {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets them; arms or disarms the crash.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn set(&self, mischief: Mischief) -> Result<(), Problem> {
        if mischief.latency_ms > LATENCY_MS_MAX {
            return Err(Problem::invalid(format!("`latency_ms` is at most {LATENCY_MS_MAX}")));
        }
        if !(0.0..=1.0).contains(&mischief.error_rate) {
            return Err(Problem::invalid("`error_rate` is 0 to 1"));
        }
        let crash = mischief.crash.clone().map(Crash::checked).transpose();
        arm(crash.map_err(|error| Problem::invalid(error.to_string()))?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = mischief;
        Ok(())
    }

    /// `service`, misbehaving as switched, with `/mischief` beside it to switch.
    #[must_use]
    pub fn around(&self, service: OpenApiRouter) -> OpenApiRouter {
        let switch = Router::new().route("/mischief", get(show).put(set)).with_state(self.clone());
        service.layer(middleware::from_fn_with_state(self.clone(), act)).merge(switch.into())
    }
}

async fn show(State(switches): State<Switches>) -> Json<Mischief> {
    Json(switches.get())
}

async fn set(
    State(switches): State<Switches>,
    body: Result<Json<Mischief>, JsonRejection>,
) -> Result<Json<Mischief>, Problem> {
    let Json(mischief) = body?;
    switches.set(mischief.clone())?;
    Ok(Json(mischief))
}

/// Misbehaves as switched, before the request reaches the service proper.
async fn act(State(switches): State<Switches>, request: Request, next: Next) -> Response {
    let Mischief { latency_ms, error_rate, hang, .. } = switches.get();
    if hang {
        tokio::time::sleep(HANG).await;
    }
    if latency_ms > 0 {
        tokio::time::sleep(Duration::from_millis(latency_ms)).await;
    }
    if hang || (error_rate > 0.0 && roll() < error_rate) {
        let detail = "the service was told to fail";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "mischief", detail).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_due_the_nth_time_its_point_is_reached() {
        let mut armed = Some(Crash::parse("outbox.published:2").unwrap());
        assert!(!is_due(&mut armed, "outbox.published"));
        assert!(!is_due(&mut armed, "outbox.marked"));
        assert!(is_due(&mut armed, "outbox.published"));
        assert!(!is_due(&mut None, "outbox.published"));
    }

    #[test]
    fn a_crash_that_cannot_be_is_refused_with_the_points_there_are() {
        for text in ["", "order.placed", "order.placed:0", "order.placed:x", "order.lunch:1"] {
            let error = Crash::parse(text).unwrap_err().to_string();
            assert!(error.contains("inbox.acknowledged"), "{error}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let switches = Switches::default();
        let refused = |mischief| switches.set(mischief).unwrap_err().detail;
        assert!(refused(Mischief { latency_ms: 60_001, ..Mischief::default() }).contains("latency_ms"));
        assert!(refused(Mischief { error_rate: 1.5, ..Mischief::default() }).contains("error_rate"));
        let crash = Some(Crash { point: "x".to_owned(), nth: 1 });
        assert!(refused(Mischief { crash, ..Mischief::default() }).contains("order.placed"));
        assert_eq!(switches.get(), Mischief::default());
    }
}
