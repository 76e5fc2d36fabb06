//! What each operation of the API needs of its caller.
//!
//! One table, looked at in one place (the door); the description of the API takes its roles from here too, so
//! neither can say something else. What the table does not name needs the highest role.

use axum::http::Method;
use portcullis_schema::AdminRole;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a caller may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also drains endpoints, resets breakers, reloads, confirms and sets the log level.
    Operator,
    /// Also changes the configuration, makes tokens and stops the gateway.
    Admin,
}

impl Role {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl From<AdminRole> for Role {
    fn from(role: AdminRole) -> Self {
        match role {
            AdminRole::Viewer => Self::Viewer,
            AdminRole::Operator => Self::Operator,
            AdminRole::Admin => Self::Admin,
        }
    }
}

/// Where the API's paths begin.
pub(super) const PREFIX: &str = "/api/v1";

/// Reads. `HEAD` is `GET` without its body.
const READ: &[&str] = &["GET", "HEAD"];
const WRITE: &[&str] = &["POST", "PUT", "PATCH", "DELETE"];

/// Methods, path below [`PREFIX`], role: the first that fits holds. `*` stands for one segment or a parameter of
/// the path, a final `**` for any rest.
const RULES: &[(&[&str], &str, Role)] = &[
    (READ, "/tokens/**", Role::Admin),
    (WRITE, "/tokens/**", Role::Admin),
    (&["POST"], "/config/validate", Role::Viewer),
    (&["POST"], "/config/diff", Role::Viewer),
    (&["POST"], "/config/test", Role::Viewer),
    (&["POST"], "/match", Role::Viewer),
    (&["POST"], "/config/confirm", Role::Operator),
    (&["POST"], "/config/revert", Role::Operator),
    (&["POST"], "/reload", Role::Operator),
    (&["PATCH"], "/upstreams/*/endpoints/*", Role::Operator),
    (&["POST"], "/circuits/*/reset", Role::Operator),
    (&["PUT"], "/log-level", Role::Operator),
    (&["POST"], "/drain", Role::Admin),
    (WRITE, "/config/**", Role::Admin),
    (WRITE, "/routes/**", Role::Admin),
    (WRITE, "/upstreams/**", Role::Admin),
    (WRITE, "/policies/**", Role::Admin),
    (WRITE, "/consumers/**", Role::Admin),
    (READ, "/**", Role::Viewer),
];

/// The role that a request of `method` needs at the route of this path, which may have parameters in it.
pub(super) fn required(method: &Method, path: &str) -> Role {
    rule(method, path).unwrap_or(Role::Admin)
}

fn rule(method: &Method, path: &str) -> Option<Role> {
    let path = path.strip_prefix(PREFIX)?;
    let fits = |(methods, pattern, _): &&(&[&str], &str, Role)| {
        methods.contains(&method.as_str()) && covers(pattern, path)
    };
    RULES.iter().find(fits).map(|(_, _, role)| *role)
}

fn covers(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        match segments.next() {
            Some(found) if wanted == "*" || wanted == found => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_its_parameters_and_its_rest_and_no_more() {
        for (pattern, path, covered) in [
            ("/tokens/**", "/tokens", true),
            ("/tokens/**", "/tokens/{name}", true),
            ("/tokens/**", "/tokensmith", false),
            ("/circuits/*/reset", "/circuits/{upstream}/reset", true),
            ("/circuits/*/reset", "/circuits/reset", false),
            ("/circuits/*/reset", "/circuits/{upstream}/reset/more", false),
            ("/**", "/anything/at/all", true),
        ] {
            assert_eq!(covers(pattern, path), covered, "{pattern} {path}");
        }
    }

    #[test]
    fn what_no_rule_names_needs_an_admin() {
        assert_eq!(required(&Method::POST, "/api/v1/never-heard-of"), Role::Admin);
        assert_eq!(required(&Method::GET, "/elsewhere"), Role::Admin);
        assert_eq!(required(&Method::OPTIONS, "/api/v1/status"), Role::Admin);
    }

    #[test]
    fn every_documented_operation_is_named_by_a_rule() {
        let document = serde_json::to_value(super::super::openapi()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                assert!(rule(&method, path).is_some(), "{method} {path}");
            }
        }
    }
}
