//! What every operation has in common, added to the description once: its role, its way in, and how it refuses.

use axum::http::Method;
use serde_json::json;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

use super::examples;
use super::roles::{Role, required};

/// The name of the way in.
const BEARER: &str = "bearer";
/// The media type of errors (RFC 9457).
const PROBLEM: &str = "application/problem+json";
/// The extension that carries an operation's role.
const ROLE: &str = "x-required-role";
/// How a description says it.
const ROLE_SAID: &str = "Role: ";

/// The description with what the door adds to every operation.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    // The router's word for "the rest of the path"; here it is a parameter as any other.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    document.components.get_or_insert_default().add_security_scheme(BEARER, SecurityScheme::Http(scheme));
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(operation, required(&method, path));
            examples::add(operation, &method, path);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete_operation(operation: &mut Operation, role: Role) {
    operation.extensions.get_or_insert_default().insert(ROLE.to_owned(), json!(role.as_str()));
    let written = operation.description.take().unwrap_or_default();
    operation.description = Some(match written.contains(ROLE_SAID) {
        true => written,
        false if written.is_empty() => format!("{ROLE_SAID}{}.", role.as_str()),
        false => format!("{written}\n\n{ROLE_SAID}{}.", role.as_str()),
    });
    let responses = &mut operation.responses.responses;
    for (status, what) in [
        ("401", "no right token"),
        ("403", "another site's page, or the token's role is not enough"),
        ("429", "too many requests; `Retry-After` says when to ask again"),
    ] {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(what)));
    }
    if operation.request_body.is_some() {
        for (status, what) in [("408", "the body did not come in time"), ("413", "the body is too long")] {
            responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(problem(what)));
        }
    }
    for (status, response) in responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response)
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
    }
}

fn problem(what: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new().description(what).content(PROBLEM, content).build()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_description_says_of_its_role_is_what_holds() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let role = operation[super::ROLE].as_str().unwrap();
                let said = format!("{}{role}.", super::ROLE_SAID);
                let description = operation["description"].as_str().unwrap();
                assert!(description.contains(&said), "{method} {path}: {description}");
            }
        }
    }
}
