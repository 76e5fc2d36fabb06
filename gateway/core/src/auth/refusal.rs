//! Why a gate refused a client, and what may be said about it.
//!
//! Decides the difference between "we do not know you" (401) and "you may not" (403), and the challenge of
//! RFC 9110 §11.6.1 in the form of RFC 6750 §3. Never carries a part of the credential.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::outcome::Rejection;

/// A gate's refusal. The texts are for logs and for the `detail` of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRefusal {
    /// There is no credential of the kind the gate asks for.
    Missing(Wanted),
    /// The token cannot be one; the text says which rule it broke.
    Malformed(&'static str),
    /// The token's algorithm is not one this gate accepts.
    AlgorithmRefused,
    /// No known key has the token's key id. The shell may refresh the key set once and ask again.
    UnknownKid,
    /// No key set has been fetched yet. Answered like any other refusal: an outage never opens the gate.
    KeysUnavailable,
    /// The signature does not match.
    BadSignature,
    /// The token's time is over.
    Expired,
    /// The token's time has not come (`nbf`, or `iat` in the future).
    NotYetValid,
    /// The token is from somebody else.
    WrongIssuer,
    /// The token is for somebody else.
    WrongAudience,
    /// The token is good and does not carry what the route asks for: the scopes, space separated.
    ScopeMissing(Arc<str>),
    /// There is not exactly one API key of a possible length.
    MalformedKey(HeaderName),
    /// The API key is nobody's.
    UnknownKey(HeaderName),
}

/// What kind of credential a gate asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `Authorization: Bearer`.
    Bearer,
    /// An API key in this header field.
    ApiKey(HeaderName),
}

impl AuthRefusal {
    /// 401, or 403 if the client is known and may not.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        if self.is_forbidden() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }
    }

    /// Whether the client is known and may not.
    #[must_use]
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, AuthRefusal::ScopeMissing(_))
    }

    /// A stable word for logs and metrics; one of a closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            AuthRefusal::Missing(_) => "credential_missing",
            AuthRefusal::Malformed(_) => "token_malformed",
            AuthRefusal::AlgorithmRefused => "algorithm_refused",
            AuthRefusal::UnknownKid => "key_unknown",
            AuthRefusal::KeysUnavailable => "keys_unavailable",
            AuthRefusal::BadSignature => "signature_mismatch",
            AuthRefusal::Expired => "token_expired",
            AuthRefusal::NotYetValid => "token_not_yet_valid",
            AuthRefusal::WrongIssuer => "issuer_refused",
            AuthRefusal::WrongAudience => "audience_refused",
            AuthRefusal::ScopeMissing(_) => "scope_missing",
            AuthRefusal::MalformedKey(_) => "api_key_malformed",
            AuthRefusal::UnknownKey(_) => "api_key_unknown",
        }
    }

    /// Why, in words that may be shown to the client: fixed texts, no part of the credential.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        match self {
            AuthRefusal::Missing(_) => "a credential is required",
            AuthRefusal::Malformed(rule) => rule,
            AuthRefusal::AlgorithmRefused => "the token's algorithm is not accepted",
            AuthRefusal::UnknownKid => "the token is signed with an unknown key",
            AuthRefusal::KeysUnavailable => "the token cannot be verified at present",
            AuthRefusal::BadSignature => "the token's signature does not match",
            AuthRefusal::Expired => "the token has expired",
            AuthRefusal::NotYetValid => "the token is not valid yet",
            AuthRefusal::WrongIssuer => "the token's issuer is not accepted",
            AuthRefusal::WrongAudience => "the token is for another audience",
            AuthRefusal::ScopeMissing(_) => "the token lacks a required scope",
            AuthRefusal::MalformedKey(_) => "one api key of 1 to 512 bytes is required",
            AuthRefusal::UnknownKey(_) => "the api key is not known",
        }
    }

    /// The value of `WWW-Authenticate`. Without a credential it names the scheme alone (RFC 6750 §3.1).
    #[must_use]
    pub fn challenge(&self) -> HeaderValue {
        match self {
            AuthRefusal::Missing(Wanted::Bearer) => HeaderValue::from_static("Bearer"),
            AuthRefusal::Missing(Wanted::ApiKey(header))
            | AuthRefusal::MalformedKey(header)
            | AuthRefusal::UnknownKey(header) => text(format!("ApiKey header=\"{header}\""), "ApiKey"),
            AuthRefusal::ScopeMissing(scopes) => text(
                format!("Bearer error=\"insufficient_scope\", scope=\"{scopes}\""),
                "Bearer error=\"insufficient_scope\"",
            ),
            AuthRefusal::Malformed(_)
            | AuthRefusal::AlgorithmRefused
            | AuthRefusal::UnknownKid
            | AuthRefusal::KeysUnavailable
            | AuthRefusal::BadSignature
            | AuthRefusal::NotYetValid
            | AuthRefusal::WrongIssuer
            | AuthRefusal::WrongAudience => HeaderValue::from_static("Bearer error=\"invalid_token\""),
            AuthRefusal::Expired => HeaderValue::from_static(
                "Bearer error=\"invalid_token\", error_description=\"token expired\"",
            ),
        }
    }
}

impl fmt::Display for AuthRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for AuthRefusal {}

impl From<&AuthRefusal> for Rejection {
    fn from(refusal: &AuthRefusal) -> Self {
        let reason = refusal.detail();
        if refusal.is_forbidden() {
            Rejection::Forbidden { reason }
        } else {
            Rejection::Unauthenticated { reason, challenge: Some(refusal.challenge()) }
        }
    }
}

fn text(value: String, otherwise: &'static str) -> HeaderValue {
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(otherwise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_client_without_the_scope_is_forbidden() {
        assert_eq!(AuthRefusal::ScopeMissing("a".into()).status(), StatusCode::FORBIDDEN);
        assert_eq!(AuthRefusal::KeysUnavailable.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(AuthRefusal::UnknownKid.status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_refusal_is_answered_with_its_status_and_challenge() {
        let rejection = Rejection::from(&AuthRefusal::Expired);
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
        let Rejection::Unauthenticated { challenge: Some(challenge), .. } = rejection else {
            panic!("not a 401: {rejection:?}")
        };
        assert!(challenge.to_str().unwrap().contains("token expired"));
        let forbidden = Rejection::from(&AuthRefusal::ScopeMissing("a".into()));
        assert_eq!(forbidden, Rejection::Forbidden { reason: "the token lacks a required scope" });
    }

    #[test]
    fn the_challenge_follows_rfc_6750() {
        assert_eq!(AuthRefusal::Missing(Wanted::Bearer).challenge(), "Bearer");
        assert_eq!(AuthRefusal::BadSignature.challenge(), "Bearer error=\"invalid_token\"");
        assert_eq!(
            AuthRefusal::ScopeMissing("orders:write a".into()).challenge(),
            "Bearer error=\"insufficient_scope\", scope=\"orders:write a\""
        );
    }

    #[test]
    fn an_api_key_challenge_names_the_header() {
        let refusal = AuthRefusal::UnknownKey(HeaderName::from_static("x-api-key"));
        assert_eq!(refusal.challenge(), "ApiKey header=\"x-api-key\"");
    }
}
