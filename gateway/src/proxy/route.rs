//! Step 2: ask the router. No route and a wrong method are answers, not errors.

use pingora_http::RequestHeader;
use portcullis_core::outcome::Rejection;
use portcullis_core::router::{Found, RouteAsk};
use portcullis_plugin_sdk::Vars;
use portcullis_prefetch::prefetch;

use super::exchange::{Exchange, Routed, Stage};

/// Finds the route of an accepted request.
pub(super) fn route(head: &RequestHeader, exchange: &mut Exchange) -> Result<(), Rejection> {
    let stage = exchange.take_stage();
    let Stage::Accepted(arrival) = stage else {
        exchange.stage = stage;
        return Err(Rejection::NoRoute);
    };
    let ask = RouteAsk {
        listener: Some(&arrival.connection.listener),
        host: &arrival.host,
        path: &arrival.path,
        method: &head.method,
        headers: &head.headers,
        query: head.uri.query(),
    };
    let refused = match exchange.live.snapshot.router.find(&ask) {
        Found::Route { route, place, params } => {
            // With ten thousand routes the memory of one is far away: asked for here, it is waited for once.
            prefetch(&**route);
            exchange.live.expect_route(place);
            let route = route.clone();
            let active = exchange.live.enter(&route);
            let vars = Vars::new();
            exchange.stage =
                Stage::Routed(Routed { arrival, route, params, identity: None, vars, _active: active });
            return Ok(());
        }
        Found::MethodNotAllowed { allow } => Rejection::MethodNotAllowed { allow },
        Found::NoRoute => Rejection::NoRoute,
    };
    exchange.stage = Stage::Accepted(arrival);
    Err(refused)
}
