//! `GET /plugins`: what is built in, what it can be told, and where it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::Query;
use super::page::{Page, Paging};
use super::problem::Problem;
use crate::operator::Operator;

/// Most routes that are named for one plugin.
const ROUTES_MAX: usize = 100;

/// A plugin.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginShown {
    name: String,
    /// How many routes run it.
    routes: usize,
    /// The first hundred of them.
    used_by: Vec<String>,
    /// The JSON Schema of its settings.
    #[schema(value_type = Object)]
    settings: Option<Value>,
}

/// The plugins of this gateway
#[utoipa::path(
    get,
    path = "/api/v1/plugins",
    params(Paging),
    responses((status = 200, body = Page<PluginShown>), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(operator): State<Arc<Operator>>,
    Query(paging): Query<Paging>,
    uri: Uri,
) -> Result<Response, Problem> {
    let live = operator.live.load_full();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, route) in live.snapshot.router.iter() {
        for plugin in route.settings.chain.names() {
            users.entry(plugin).or_default().push(name);
        }
    }
    let catalog = operator.reloader.catalog();
    let wanted = catalog.names().filter(|name| paging.wants([*name]));
    paging.page(&uri, wanted.map(|name| (name.to_owned(), name)).collect(), |name| {
        let routes = users.get(name).map(Vec::as_slice).unwrap_or_default();
        PluginShown {
            name: name.to_owned(),
            routes: routes.len(),
            used_by: routes.iter().take(ROUTES_MAX).map(|route| (*route).to_owned()).collect(),
            settings: catalog.settings_schema(name).map(|schema| schema.as_value().clone()),
        }
    })
}
