//! The Consul HTTP API: which path is which endpoint, and what every endpoint shares.
//! It translates between HTTP and the store; it decides nothing about services.

mod agent;
mod body;
mod catalog;
mod health;
mod kv;
mod params;
mod reply;
mod status;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use self::params::Params;
use self::reply::{Problem, Reply};
use crate::wait::Shared;

/// One request, with the path and the query already decoded.
#[derive(Debug)]
struct Ask {
    method: Method,
    params: Params,
    body: Incoming,
    shared: Arc<Shared>,
}

type Outcome = Result<Reply, Problem>;

/// What a path means. The text is the rest of the path behind a prefix: a name, an id or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Agent(agent::Endpoint),
    Catalog(catalog::Endpoint),
    Health(health::Endpoint),
    Key(String),
    Status(status::Endpoint),
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        let (family, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
        match family {
            "agent" => agent::Endpoint::of(rest).map(Self::Agent),
            "catalog" => catalog::Endpoint::of(rest).map(Self::Catalog),
            "health" => health::Endpoint::of(rest).map(Self::Health),
            "kv" => Some(Self::Key(rest.to_owned())),
            "status" => status::Endpoint::of(rest).map(Self::Status),
            _ => None,
        }
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Agent(endpoint) => endpoint.methods(),
            Self::Key(_) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Catalog(_) | Self::Health(_) | Self::Status(_) => &[Method::GET],
        }
    }
}

/// Answers one request. Never fails: what goes wrong is an answer too.
pub(crate) async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let pretty =
        Params::of(request.uri().query().unwrap_or_default()).is_ok_and(|params| params.has("pretty"));
    let outcome = dispatch(request, shared).await;
    let response = match outcome {
        Ok(reply) => reply.into_response(pretty),
        Err(problem) => problem.into_response(),
    };
    debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}

async fn dispatch(request: Request<Incoming>, shared: &Arc<Shared>) -> Outcome {
    let path = params::decode(request.uri().path(), params::Plus::IsPlus)
        .ok_or_else(|| Problem::bad_request("Invalid URL path: not percent-encoded UTF-8"))?;
    if path == "/" {
        return Ok(Reply::text(format!("portcullis-registry: {}\n", crate::NOTICE)));
    }
    let endpoint = Endpoint::of(&path).ok_or_else(|| unknown(&path))?;
    let method = request.method().clone();
    if method == Method::OPTIONS {
        return Ok(Reply::allow(endpoint.methods()));
    }
    if !endpoint.methods().contains(&method) {
        return Err(Problem::method_not_allowed(&method, endpoint.methods()));
    }
    let params = Params::of(request.uri().query().unwrap_or_default())?;
    refuse_foreign(&params, shared)?;
    let ask = Ask { method, params, body: request.into_body(), shared: Arc::clone(shared) };
    match endpoint {
        Endpoint::Agent(endpoint) => agent::answer(endpoint, ask).await,
        Endpoint::Catalog(endpoint) => catalog::answer(endpoint, ask).await,
        Endpoint::Health(endpoint) => health::answer(endpoint, ask).await,
        Endpoint::Key(key) => kv::answer(&key, ask).await,
        Endpoint::Status(endpoint) => Ok(status::answer(endpoint, &ask)),
    }
}

/// Parameters that would change the answer and that this registry cannot honour are refused, not ignored.
fn refuse_foreign(params: &Params, shared: &Shared) -> Result<(), Problem> {
    for name in ["ns", "partition"] {
        if params.has(name) {
            let text = format!("Invalid query parameter: {name:?} - a feature of Consul Enterprise");
            return Err(Problem::bad_request(text));
        }
    }
    for name in ["filter", "node-meta", "peer", "sg", "session", "acquire", "release"] {
        if params.has(name) {
            let text = format!(
                "Unsupported query parameter: {name:?} - the embedded registry does not know it, run Consul for that"
            );
            return Err(Problem::bad_request(text));
        }
    }
    if params.has("stale") && params.has("consistent") {
        let text = "Cannot specify ?stale with ?consistent, conflicting semantics.";
        return Err(Problem::bad_request(text));
    }
    let own = shared.look(|store| store.node().datacenter.clone());
    match params.get("dc") {
        Some(dc) if !dc.is_empty() && dc != own => Err(Problem::server_error("No path to datacenter")),
        Some(_) | None => Ok(()),
    }
}

fn unknown(path: &str) -> Problem {
    let text = if path.contains("/v1/") {
        "Invalid URL path: not a recognized HTTP API endpoint\n"
    } else {
        "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n"
    };
    Problem::new(StatusCode::NOT_FOUND, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart_and_unknown_ones_are_nothing() {
        assert_eq!(Endpoint::of("/v1/kv/a/b"), Some(Endpoint::Key("a/b".into())));
        assert_eq!(
            Endpoint::of("/v1/health/service/web"),
            Some(Endpoint::Health(health::Endpoint::Service("web".into())))
        );
        assert_eq!(Endpoint::of("/v1/agent/services"), Some(Endpoint::Agent(agent::Endpoint::Services)));
        for path in ["/", "/v1", "/v1/", "/v1/agent", "/v1/agent/nothing", "/v2/kv/a", "/v1/session/create"] {
            assert_eq!(Endpoint::of(path), None, "{path}");
        }
    }
}
