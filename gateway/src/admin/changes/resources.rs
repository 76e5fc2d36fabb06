//! The named things of the configuration, each with its own `ETag`: routes, upstreams, policies and consumers.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::problem::Problem;
use super::super::upstreams;
use super::answer::{self, Changed};
use super::ask::{self, Asked, Author, Operation, THING_BYTES_MAX, ThingParams};
use super::lists::{self, ListParams, Things};
use crate::operator::Operator;
use crate::revisions::{Change, Kind, Options, Place};

/// The operations on one kind of thing. `$one` and `$many` are words for the description.
macro_rules! operations {
    ($module:ident, $kind:expr, $path:literal, $one:literal) => {
        pub(super) mod $module {
            use super::*;

            #[utoipa::path(
                put,
                path = concat!("/api/v1/", $path, "/{name}"),
                operation_id = concat!("put_", stringify!($module)),
                summary = concat!("Makes or replaces a ", $one),
                description = "With `If-None-Match: *` it must not be there, with `If-Match` it must be as it was read. A mask (`***`) that is sent back stands for the secret it hid. Live when the answer comes. Role: admin.",
                params(
                    ("name" = String, Path, description = "its name in the configuration"),
                    ("If-Match" = Option<String>, Header, description = "the `ETag` that was read, to replace it"),
                    ("If-None-Match" = Option<String>, Header, description = "`*`, to make it"),
                    ThingParams
                ),
                request_body(content((Value = "application/json"), (Value = "application/yaml"))),
                responses(
                    (status = 200, body = Changed), (status = 201, body = Changed), (status = 400, body = Problem),
                    (status = 401, body = Problem), (status = 503, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem),
                    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
                    (status = 428, body = Problem), (status = 500, body = Problem)
                )
            )]
            pub(in super::super) async fn put(
                State(operator): State<Arc<Operator>>,
                name: Result<Path<String>, PathRejection>,
                query: Result<Query<ThingParams>, QueryRejection>,
                author: Option<Extension<Author>>,
                headers: HeaderMap,
                body: Result<Bytes, BytesRejection>,
            ) -> Response {
                let asked = asked(name, query, author).and_then(|(name, options)| {
                    Ok((name, Asked::read(&headers, body, THING_BYTES_MAX, options, ask::whole)?))
                });
                change($kind, operator, asked).await
            }

            #[utoipa::path(
                patch,
                path = concat!("/api/v1/", $path, "/{name}"),
                operation_id = concat!("patch_", stringify!($module)),
                summary = concat!("Changes a part of a ", $one),
                description = "By a JSON merge patch (RFC 7396) or a JSON patch (RFC 6902). `If-Match` is required. Role: admin.",
                params(
                    ("name" = String, Path, description = "its name in the configuration"),
                    ("If-Match" = Option<String>, Header, description = "the `ETag` that was read; 428 without"),
                    ThingParams
                ),
                request_body(content(
                    (Value = "application/merge-patch+json"), (Vec<Operation> = "application/json-patch+json")
                )),
                responses(
                    (status = 200, body = Changed), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem),
                    (status = 404, body = Problem), (status = 409, body = Problem), (status = 412, body = Problem),
                    (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem),
                    (status = 428, body = Problem), (status = 500, body = Problem)
                )
            )]
            pub(in super::super) async fn patch(
                State(operator): State<Arc<Operator>>,
                name: Result<Path<String>, PathRejection>,
                query: Result<Query<ThingParams>, QueryRejection>,
                author: Option<Extension<Author>>,
                headers: HeaderMap,
                body: Result<Bytes, BytesRejection>,
            ) -> Response {
                let asked = asked(name, query, author).and_then(|(name, options)| {
                    Ok((name, Asked::read(&headers, body, THING_BYTES_MAX, options, ask::patch)?))
                });
                change($kind, operator, asked).await
            }

            #[utoipa::path(
                delete,
                path = concat!("/api/v1/", $path, "/{name}"),
                operation_id = concat!("delete_", stringify!($module)),
                summary = concat!("Takes a ", $one, " away"),
                description = "Also one that stands in the files: the overlay says that it is gone. `If-Match` is required. Role: admin.",
                params(
                    ("name" = String, Path, description = "its name in the configuration"),
                    ("If-Match" = Option<String>, Header, description = "the `ETag` that was read; 428 without"),
                    ThingParams
                ),
                responses(
                    (status = 200, body = Changed, description = "with `dry_run`"), (status = 204),
                    (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem), (status = 404, body = Problem),
                    (status = 409, body = Problem), (status = 412, body = Problem), (status = 422, body = Problem),
                    (status = 428, body = Problem), (status = 500, body = Problem)
                )
            )]
            pub(in super::super) async fn delete(
                State(operator): State<Arc<Operator>>,
                name: Result<Path<String>, PathRejection>,
                query: Result<Query<ThingParams>, QueryRejection>,
                author: Option<Extension<Author>>,
                headers: HeaderMap,
            ) -> Response {
                let asked = asked(name, query, author).and_then(|(name, options)| {
                    let (change, body) = (Change::Delete, Bytes::new());
                    Ok((name, Asked { change, condition: ask::condition(&headers)?, options, body }))
                });
                change($kind, operator, asked).await
            }
        }
    };
    ($module:ident, $kind:expr, $path:literal, $one:literal, with reads as $reads:ident) => {
        operations!($module, $kind, $path, $one);

        pub(super) mod $reads {
            use super::*;

            #[utoipa::path(
                get,
                path = concat!("/api/v1/", $path),
                operation_id = concat!("list_", stringify!($module)),
                summary = concat!("Every ", $one, ", by name"),
                description = "As written, secrets masked. Role: viewer.",
                params(ListParams),
                responses(
                    (status = 200, body = Things), (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem)
                )
            )]
            pub(in super::super) async fn list(
                State(operator): State<Arc<Operator>>,
                query: Result<Query<ListParams>, QueryRejection>,
            ) -> Response {
                lists::answer($kind, operator, query).await
            }

            #[utoipa::path(
                get,
                path = concat!("/api/v1/", $path, "/{name}"),
                operation_id = concat!("get_", stringify!($module)),
                summary = concat!("One ", $one),
                description = "As written, variables not expanded, secrets masked; YAML by `Accept`. Role: viewer.",
                params(("name" = String, Path, description = "its name in the configuration")),
                responses(
                    (status = 200, body = Value, headers(("ETag" = String))), (status = 304),
                    (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem), (status = 404, body = Problem)
                )
            )]
            pub(in super::super) async fn one(
                State(operator): State<Arc<Operator>>,
                name: Result<Path<String>, PathRejection>,
                headers: HeaderMap,
            ) -> Response {
                let found = match ask::name(name) {
                    Ok(name) => found($kind, operator, name).await,
                    Err(problem) => Err(problem),
                };
                match found {
                    Ok((value, etag)) => answer::value(&value, Some(&etag), &headers),
                    Err(problem) => problem.into_response(),
                }
            }
        }
    };
}

operations!(route, Kind::Route, "routes", "route", with reads as read_route);
operations!(policy, Kind::Policy, "policies", "policy", with reads as read_policy);
operations!(consumer, Kind::Consumer, "consumers", "consumer", with reads as read_consumer);
operations!(upstream, Kind::Upstream, "upstreams", "upstream");

/// Everything here, with its description.
pub(super) fn described() -> OpenApiRouter<Arc<Operator>> {
    OpenApiRouter::new()
        .routes(routes!(read_route::list))
        .routes(routes!(read_route::one, route::put, route::patch, route::delete))
        .routes(routes!(read_policy::list))
        .routes(routes!(read_policy::one, policy::put, policy::patch, policy::delete))
        .routes(routes!(read_consumer::list))
        .routes(routes!(read_consumer::one, consumer::put, consumer::patch, consumer::delete))
        .routes(routes!(read_upstream, upstream::put, upstream::patch, upstream::delete))
}

/// One upstream: how it is, and in `config` as it is written
///
/// The `ETag` is that of `config`. An upstream that no route uses has `config` and nothing else; one that is named
/// directly in a route has none. Role: viewer.
#[utoipa::path(
    get,
    path = "/api/v1/upstreams/{name}",
    operation_id = "get_upstream",
    params(("name" = String, Path, description = "the upstream's name in the configuration")),
    responses(
        (status = 200, body = Value, headers(("ETag" = String))), (status = 304),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 503, body = Problem), (status = 404, body = Problem)
    )
)]
pub(super) async fn read_upstream(
    State(operator): State<Arc<Operator>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let name = match ask::name(name) {
        Ok(name) => name,
        Err(problem) => return problem.into_response(),
    };
    let state = upstreams::one(State(operator.clone()), super::super::extract::Path(name.clone())).await;
    let written = found(Kind::Upstream, operator, name.clone()).await;
    let (mut shown, written) = match (state, written) {
        (Ok(state), written) => (serde_json::to_value(state.0).unwrap_or_default(), written.ok()),
        (Err(_), Ok(written)) => (serde_json::json!({ "name": name, "endpoints": [] }), Some(written)),
        (Err(unused), Err(_)) => return unused.into_response(),
    };
    let etag = written.map(|(config, etag)| {
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("config".to_owned(), config);
        }
        etag
    });
    // What it is doing changes without its tag, so it is never "not modified".
    let mut unconditional = headers;
    unconditional.remove(header::IF_NONE_MATCH);
    answer::value(&shown, etag.as_deref(), &unconditional)
}

/// A thing as it is written, with its tag.
async fn found(kind: Kind, operator: Arc<Operator>, name: String) -> Result<(Value, String), Problem> {
    ask::in_turn(operator, move |operator| answer::found(operator, Place::Thing(kind, &name))).await?
}

fn asked(
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<ThingParams>, QueryRejection>,
    author: Option<Extension<Author>>,
) -> Result<(String, Options), Problem> {
    let author = author.map(|Extension(author)| author).unwrap_or_default();
    Ok((ask::name(name)?, ask::query(query)?.options(author)?))
}

async fn change(kind: Kind, operator: Arc<Operator>, asked: Result<(String, Asked), Problem>) -> Response {
    let (name, asked) = match asked {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let sent = asked.sent(kind.pointer(&name));
    let Asked { change, condition, options, .. } = asked;
    let (dry_run, is_removal) = (options.dry_run, matches!(change, Change::Delete));
    let location = format!("/api/v1/{}/{name}", kind.key());
    let made = ask::in_turn(operator, move |operator| {
        operator.revisions.change(Place::Thing(kind, &name), change, &condition, &options)
    });
    let made = made.await;
    if is_removal && !dry_run && matches!(made, Ok(Ok(_))) {
        return StatusCode::NO_CONTENT.into_response();
    }
    let mut response = answer::tried(made, dry_run, &sent);
    if response.status() == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(&location)
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
