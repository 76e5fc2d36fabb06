//! Lists of named things, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Ref, Schema, Type};
use utoipa::{IntoParams, ToSchema};

use super::super::routing::{RouteShown, shown};
use super::ask;
use crate::operator::Operator;
use crate::revisions::Kind;

/// Things on one page, unless fewer are asked for.
const LIMIT_DEFAULT: usize = 100;
/// Most things on one page.
const LIMIT_MAX: usize = 1_000;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Most things in the answer (100; at most 1000)
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before
    cursor: Option<String>,
    /// Only those whose name contains this; of routes also host, path or upstream. Case does not matter
    filter: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Things {
    items: Vec<Thing>,
    /// The cursor of the next page. Absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// One named thing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Thing {
    name: String,
    /// To be sent as `If-Match` with a change.
    etag: String,
    /// Whether the overlay has a part in it.
    overlaid: bool,
    /// As it is written, secrets masked.
    #[schema(value_type = Object)]
    config: Value,
    /// What a route answers for; of routes only.
    #[serde(flatten)]
    #[schema(schema_with = of_routes)]
    answers_for: Option<RouteShown>,
}

/// The other kinds of things have none of these fields: they are not `null`, which is what an `Option` is described as.
fn of_routes() -> Schema {
    let nothing_more = ObjectBuilder::new().schema_type(Type::Object);
    let described = AnyOfBuilder::new().item(Ref::from_schema_name("RouteShown")).item(nothing_more);
    Schema::AnyOf(described.description(Some("What a route answers for; of routes only.")).build())
}

pub(super) async fn answer(
    kind: Kind,
    operator: Arc<Operator>,
    query: Result<Query<ListParams>, QueryRejection>,
) -> Response {
    let params = match ask::query(query) {
        Ok(params) => params,
        Err(problem) => return problem.into_response(),
    };
    let limit = params.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return ask::bad_query(format!("`limit` lies between 1 and {LIMIT_MAX}")).into_response();
    }
    let filter = params.filter.clone();
    let page = ask::in_turn(operator, move |operator| page(kind, operator, &params, limit)).await;
    match page {
        Ok(things) => {
            let link = things.next.as_deref().map(|next| link(kind, limit, next, filter.as_deref()));
            let mut response = Json(things).into_response();
            if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
                response.headers_mut().insert(header::LINK, link);
            }
            response
        }
        Err(problem) => problem.into_response(),
    }
}

fn page(kind: Kind, operator: &Operator, params: &ListParams, limit: usize) -> Things {
    let in_use = operator.revisions.in_use();
    let things = in_use.value.get(kind.key()).and_then(Value::as_object);
    let mut names: Vec<&String> = things.into_iter().flatten().map(|(name, _)| name).collect();
    names.sort_unstable();
    let wanted = params.filter.as_deref().unwrap_or_default().to_lowercase();
    let after = params.cursor.as_deref().unwrap_or_default();
    let mut routes = match kind {
        Kind::Route => shown(&operator.live.load_full()),
        Kind::Upstream | Kind::Policy | Kind::Consumer => BTreeMap::new(),
    };
    let is_wanted = |name: &&String| {
        let route = routes.get(name.as_str());
        let mut texts = route.into_iter().flat_map(RouteShown::texts).chain([name.as_str()]);
        name.as_str() > after && texts.any(|text| text.to_lowercase().contains(&wanted))
    };
    let names: Vec<&String> = names.into_iter().filter(is_wanted).collect();
    let mut rest = names.into_iter();
    let items: Vec<Thing> = rest
        .by_ref()
        .take(limit)
        .filter_map(|name| {
            let pointer = kind.pointer(name);
            Some(Thing {
                name: name.clone(),
                etag: operator.revisions.etag_of(&in_use, &pointer)?,
                overlaid: in_use.is_overlaid(&pointer),
                config: in_use.value.pointer(&pointer)?.clone(),
                answers_for: routes.remove(name),
            })
        })
        .collect();
    let next = rest.next().and(items.last()).map(|last| last.name.clone());
    Things { items, next }
}

fn link(kind: Kind, limit: usize, next: &str, filter: Option<&str>) -> String {
    let filter = filter.map(|filter| format!("&filter={}", escaped(filter))).unwrap_or_default();
    format!("</api/v1/{}?limit={limit}&cursor={}{filter}>; rel=\"next\"", kind.key(), escaped(next))
}

/// Percent-encoded but for what needs none.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
