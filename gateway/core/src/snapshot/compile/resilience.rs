//! Retries, breakers, fallbacks, times: what is done about an upstream that fails.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use portcullis_schema as schema;
use portcullis_schema::{At, Code, RetryError, Setting};

use super::conditions::ConditionPool;
use super::report::Report;
use super::upstreams::Upstreams;
use crate::breaker::BreakerSettings;
use crate::retry::{BudgetSettings, ErrorKinds, RetrySettings};
use crate::router::MethodSet;
use crate::snapshot::{FallbackKinds, Timeouts};

/// Statuses that count as failed unless the document says otherwise: those a proxy itself answers with.
pub(super) const FAILED_STATUSES: [u16; 3] = [502, 503, 504];

const ATTEMPTS_DEFAULT: u8 = 2;
const BACKOFF_BASE_DEFAULT: Duration = Duration::from_millis(25);
const BACKOFF_MAX_DEFAULT: Duration = Duration::from_millis(250);
const BUDGET_SHARE_DEFAULT: f64 = 0.2;
const BUDGET_FLOOR_DEFAULT: u32 = 3;
const WINDOW_DEFAULT: NonZeroU32 = NonZeroU32::new(20).unwrap();
const OPEN_DEFAULT: Duration = Duration::from_secs(10);
const PROBES_DEFAULT: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// The settings of `retry`; `None` if they are reported.
pub(super) fn retry(retry: &At<schema::Retry>, report: &mut Report) -> Option<RetrySettings> {
    let settings = &retry.value;
    let errors = match &settings.errors {
        Some(listed) => {
            let has = |kind| listed.iter().any(|error| error.value == kind);
            ErrorKinds {
                connect: has(RetryError::Connect),
                reset: has(RetryError::Reset),
                timeout: has(RetryError::Timeout),
            }
        }
        None => ErrorKinds { connect: true, reset: true, timeout: false },
    };
    let backoff = settings.backoff.as_ref().map(|backoff| &backoff.value);
    let base = backoff.and_then(|backoff| backoff.base.as_ref());
    let max = backoff.and_then(|backoff| backoff.max.as_ref());
    let backoff_base = base.map_or(BACKOFF_BASE_DEFAULT, |base| base.value);
    let backoff_max = max.map_or(BACKOFF_MAX_DEFAULT.max(backoff_base), |max| max.value);
    if backoff_base > backoff_max {
        let at = max.or(base).map_or(retry.at, |at| at.at);
        let message = "the longest wait between tries is shorter than the first";
        report.say(Code::BadCombination, at, message, "`max` is below `base`", None);
        return None;
    }
    let budget = settings.budget.as_ref().map(|budget| &budget.value);
    Some(RetrySettings {
        attempts: settings.attempts.as_ref().map_or(ATTEMPTS_DEFAULT, |attempts| attempts.value),
        per_try: settings.per_try.as_ref().map(|per_try| per_try.value),
        statuses: failed_statuses(Some(settings)),
        errors,
        backoff_base,
        backoff_max,
        budget: BudgetSettings {
            share: budget
                .and_then(|budget| budget.share.as_ref())
                .map_or(BUDGET_SHARE_DEFAULT, |share| share.value.0),
            floor_per_second: budget
                .and_then(|budget| budget.floor.as_ref())
                .map_or(BUDGET_FLOOR_DEFAULT, |floor| floor.value),
        },
    })
}

/// The statuses that count as failed, sorted.
pub(super) fn failed_statuses(retry: Option<&schema::Retry>) -> Vec<u16> {
    let listed = retry.and_then(|retry| retry.statuses.as_ref());
    let mut statuses: Vec<u16> = match listed {
        Some(listed) => listed.iter().map(|status| status.value).collect(),
        None => FAILED_STATUSES.to_vec(),
    };
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// The settings of `circuit_breaker`; `None` if they are reported.
pub(super) fn breaker(breaker: &At<schema::CircuitBreaker>, report: &mut Report) -> Option<BreakerSettings> {
    let settings = &breaker.value;
    if settings.failure_rate.is_none() && settings.consecutive.is_none() {
        let message = "`circuit_breaker` does not say when it trips";
        let help = Some("add `failure_rate: 50%` or `consecutive: 5`".to_owned());
        report.say(Code::IncompleteSetting, breaker.at, message, "never trips", help);
        return None;
    }
    Some(BreakerSettings {
        failure_rate: settings.failure_rate.as_ref().map(|rate| rate.value.0),
        window: settings.window.as_ref().map_or(WINDOW_DEFAULT, |window| window.value),
        consecutive: settings.consecutive.as_ref().map(|consecutive| consecutive.value),
        open: settings.open.as_ref().map_or(OPEN_DEFAULT, |open| open.value),
        probes: settings.probes.as_ref().map_or(PROBES_DEFAULT, |probes| probes.value),
    })
}

/// A fallback whose upstream is still a name.
#[derive(Debug, Clone)]
pub(super) struct FallbackDraft {
    pub(super) kinds: FallbackKinds,
    pub(super) methods: Option<MethodSet>,
    pub(super) answer: AnswerDraft,
}

/// What such a fallback answers.
#[derive(Debug, Clone)]
pub(super) enum AnswerDraft {
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// This reply.
    Fixed { status: StatusCode, content_type: Option<HeaderValue>, body: Bytes },
}

/// The fallbacks of a route, in their order.
pub(super) fn fallbacks(
    listed: &[schema::Fallback],
    upstreams: &mut Upstreams<'_>,
    pool: &mut ConditionPool,
    report: &mut Report,
) -> Vec<FallbackDraft> {
    listed.iter().filter_map(|fallback| fallback_draft(fallback, upstreams, pool, report)).collect()
}

fn fallback_draft(
    fallback: &schema::Fallback,
    upstreams: &mut Upstreams<'_>,
    pool: &mut ConditionPool,
    report: &mut Report,
) -> Option<FallbackDraft> {
    let kinds = match &fallback.on {
        Some(on) => FallbackKinds::new(on.iter().map(|kind| kind.value)),
        None => FallbackKinds::ALL,
    };
    let listed = fallback.methods.as_ref().map(|methods| pool.methods(methods));
    let (methods, answer) = match &fallback.to {
        Some(to) => {
            let name = upstreams.resolve(&to.value, to.at, report)?;
            // without a list only what is safe to ask twice goes to another upstream
            let methods = listed.unwrap_or_else(|| MethodSet::new([Method::GET]));
            (Some(methods), AnswerDraft::Upstream(name))
        }
        None => (listed, fixed_answer(fallback)?),
    };
    Some(FallbackDraft { kinds, methods, answer })
}

fn fixed_answer(fallback: &schema::Fallback) -> Option<AnswerDraft> {
    let status = fallback.status.as_ref().map_or(503, |status| status.value);
    // a status out of range has been reported by the schema
    let status = StatusCode::from_u16(status).ok()?;
    let (content_type, body) = match (&fallback.json, &fallback.text) {
        (Some(json), _) => {
            let body = serde_json::to_vec(&json.value.value).ok()?;
            (Some(HeaderValue::from_static("application/json")), Bytes::from(body))
        }
        (None, Some(text)) => {
            let body = Bytes::copy_from_slice(text.value.as_bytes());
            (Some(HeaderValue::from_static("text/plain; charset=utf-8")), body)
        }
        (None, None) => (None, Bytes::new()),
    };
    Some(AnswerDraft::Fixed { status, content_type, body })
}

/// The times of a route towards an upstream.
pub(super) fn timeouts(written: &schema::Timeout) -> Timeouts {
    let default = Timeouts::default();
    let request = written.request.as_ref().map_or(default.request, |request| bound(&request.value));
    Timeouts {
        connect: written.connect.as_ref().map_or(default.connect, |connect| connect.value),
        request,
        idle: written.idle.as_ref().map_or_else(|| Timeouts::idle_for(request), |idle| bound(&idle.value)),
    }
}

fn bound(setting: &Setting<Duration>) -> Option<Duration> {
    setting.on().copied()
}
