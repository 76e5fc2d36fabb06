//! `GET /requests`, `GET /requests/stream`: the last requests, and those that come.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::response::sse::Event as Sent;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::extract::Query;
use super::problem::Problem;
use super::sse::{Streamed, answer};
use crate::clock;
use crate::operator::Operator;
use crate::telemetry::recent::Seen;

/// Longest time that is asked for.
const TOOK_MAX: Duration = Duration::from_secs(86_400);
/// Requests shown unless `limit` says otherwise.
const LIMIT_DEFAULT: usize = 100;

/// Which requests are wanted; every condition must hold.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The name of the route.
    route: Option<String>,
    /// The status, such as `404`, or a class of it, such as `5xx`.
    #[param(pattern = "^[1-5]([0-9][0-9]|xx)$")]
    status: Option<String>,
    /// The method.
    method: Option<String>,
    /// The least time it took, in milliseconds; at most a day.
    #[param(maximum = 86_400_000)]
    min_ms: Option<u32>,
    /// The request's id, as in `X-Request-Id`.
    id: Option<String>,
    /// Most requests that are shown; of no meaning to a stream.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// The last requests.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RequestList {
    /// Newest first; each has what the access log has, and the headers that are nobody's secret.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Box<RawValue>>,
    /// Requests that found no room since the start: more than 500 came in a second.
    missed: u64,
}

/// What a status has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusWanted {
    Any,
    Exactly(u16),
    /// The hundreds.
    Class(u16),
}

/// The last requests, newest first
///
/// Requests are kept only while somebody looks: the first look begins it, and it ends a minute after the last. At most
/// 500 a second are kept, failures first, and the last 1000 of them. Neither a query nor a credential is in it.
#[utoipa::path(
    get,
    path = "/api/v1/requests",
    params(Wanted),
    responses((status = 200, body = RequestList), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<RequestList>, Problem> {
    let limit = wanted.limit()?;
    let wants = wanted.filter()?;
    operator.recent.looked(clock::now());
    let newest = operator.recent.ring.newest();
    let items = newest.iter().filter(|placed| wants(&placed.value)).take(limit);
    Ok(Json(RequestList {
        items: items.map(|placed| placed.value.shown.clone()).collect(),
        missed: operator.recent.missed(),
    }))
}

/// Requests as they end (server-sent events)
///
/// Each event is called `request`, and its data is what `GET /requests` shows. `Last-Event-ID`, `gap` and `lagged` are as
/// with `GET /events`.
#[utoipa::path(
    get,
    path = "/api/v1/requests/stream",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, description = "the id of the last event that was read")),
    responses(
        (status = 200, description = "the stream", content_type = "text/event-stream", body = String),
        (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn stream(
    State(operator): State<Arc<Operator>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let _checked = wanted.limit()?;
    let wants = wanted.filter()?;
    let held = operator.recent.stream();
    let show = |seen: &Seen| Sent::default().event("request").data(seen.shown.get());
    Ok(match Streamed::new(&operator.streams, held, wants, show) {
        Ok(streamed) => answer(&operator.recent.ring, &headers, streamed),
        Err(refused) => *refused,
    })
}

impl Wanted {
    fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=1_000).contains(&limit) { Ok(limit) } else { Err(bad("`limit` is a number from 1 to 1000")) }
    }

    fn filter(self) -> Result<impl Fn(&Seen) -> bool + Send + Sync + 'static, Problem> {
        let Some(status) = StatusWanted::read(self.status.as_deref()) else {
            return Err(bad("`status` is a status such as 404, or a class such as 5xx"));
        };
        let least = Duration::from_millis(self.min_ms.unwrap_or(0).into());
        if least > TOOK_MAX {
            return Err(bad("`min_ms` is at most 86400000, a day"));
        }
        let Self { route, method, id, .. } = self;
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        Ok(move |seen: &Seen| {
            status.fits(seen.status)
                && seen.took >= least
                && is(&route, seen.route.as_deref())
                && is(&method, seen.method.as_deref())
                && is(&id, seen.id.as_deref())
        })
    }
}

impl StatusWanted {
    fn read(text: Option<&str>) -> Option<Self> {
        let Some(text) = text else { return Some(Self::Any) };
        let first = u16::from(text.bytes().next()?.checked_sub(b'0')?);
        if !(1..=5).contains(&first) || text.len() != 3 {
            return None;
        }
        if text.get(1..)?.eq_ignore_ascii_case("xx") {
            return Some(Self::Class(first));
        }
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok().map(Self::Exactly))?
    }

    fn fits(self, status: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => status == wanted,
            Self::Class(hundreds) => status / 100 == hundreds,
        }
    }
}

fn bad(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_query", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_a_class() {
        for (text, status, fits) in
            [("404", 404, true), ("404", 405, false), ("5xx", 503, true), ("5XX", 404, false)]
        {
            assert_eq!(StatusWanted::read(Some(text)).unwrap().fits(status), fits, "{text} {status}");
        }
        for wrong in ["", "4", "44", "4444", "6xx", "0xx", "5x", "5x3", "ab3", "5éx"] {
            assert_eq!(StatusWanted::read(Some(wrong)), None, "{wrong}");
        }
    }
}
