//! The gate that asks for a signed token.
//!
//! Puts the checks in their order: one bearer token, its shape, its algorithm, its key, its signature, and only then
//! what it says. Nothing a token says is believed before its signature is good.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use portcullis_plugin_sdk::view::is_gateway_owned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::claims::{self, Validity};
use super::hot::HotTokens;
use super::jwks::JwksCell;
use super::keys::{Algorithm, KeySet};
use super::token::Token;
use crate::auth::refusal::Wanted;
use crate::auth::{AuthRefusal, Credential, Identity};
use crate::units::WallTime;

/// The longest leeway, in seconds: clocks that differ by more are broken.
pub const LEEWAY_SECONDS_MAX: u32 = 300;

const SCHEME: &[u8] = b"bearer";

/// What a gate asks of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// The issuer (`iss`), letter for letter; any if `None`.
    pub issuer: Option<Arc<str>>,
    /// The audiences (`aud`) of which one must be named; any if empty.
    pub audience: Vec<Arc<str>>,
    /// By how many seconds clocks may differ; at most [`LEEWAY_SECONDS_MAX`].
    pub leeway_seconds: u32,
    /// The accepted algorithms; at least one.
    pub algorithms: Vec<Algorithm>,
    /// The scopes a token must carry, all of them.
    pub required_scopes: Vec<Arc<str>>,
    /// Header fields for the upstream, each with the claim it takes its value from.
    pub claims_to_headers: Vec<(HeaderName, Arc<str>)>,
}

/// Settings that make no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JwtSettingsError {
    /// No token could ever pass.
    #[error("no algorithm is accepted")]
    NoAlgorithm,
    /// The leeway is longer than [`LEEWAY_SECONDS_MAX`].
    #[error("a leeway is at most {LEEWAY_SECONDS_MAX} seconds")]
    Leeway,
    /// A scope has characters that no scope has (RFC 6749 §3.3).
    #[error("`{0}` is not a scope: printable ASCII without space, quote and backslash")]
    Scope(Arc<str>),
    /// A claim would overwrite a field that is the gateway's, or the credential itself.
    #[error("header `{0}` cannot be set from a claim")]
    Header(HeaderName),
    /// Two claims would go into one field.
    #[error("header `{0}` is set from two claims")]
    HeaderTwice(HeaderName),
}

/// Lets a request in that carries a good token.
#[derive(Debug)]
pub struct JwtGate {
    settings: JwtSettings,
    keys: Arc<JwksCell>,
    hot: HotTokens,
}

impl JwtGate {
    /// A gate that trusts the keys in `keys`. Gates with equal settings should be one: each keeps its hot tokens.
    ///
    /// # Errors
    /// [`JwtSettingsError`] for settings that make no sense.
    pub fn new(settings: JwtSettings, keys: Arc<JwksCell>) -> Result<Self, JwtSettingsError> {
        check_settings(&settings)?;
        Ok(Self { settings, keys, hot: HotTokens::default() })
    }

    /// What the gate asks of a token.
    #[must_use]
    pub const fn settings(&self) -> &JwtSettings {
        &self.settings
    }

    /// Where the gate's keys are.
    #[must_use]
    pub const fn keys(&self) -> &Arc<JwksCell> {
        &self.keys
    }

    /// The fields that only this gate may set: a client's own copies must go, on every route.
    pub fn owned_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.settings.claims_to_headers.iter().map(|(name, _)| name)
    }

    /// Who the token in these header fields is for.
    ///
    /// # Errors
    /// Why the request is refused. On `UnknownKid` the shell may tell the cell, wait for new keys, and ask once more.
    pub fn check(&self, headers: &HeaderMap, now: WallTime) -> Result<Arc<Identity>, AuthRefusal> {
        let text = bearer(headers)?;
        let keys = self.keys.load();
        let keys = keys.as_deref().ok_or(AuthRefusal::KeysUnavailable)?;
        if let Some(identity) = self.hot.find(text, keys.generation, now) {
            return Ok(identity);
        }
        let (identity, validity) = self.verify(text, keys, now)?;
        let identity = Arc::new(identity);
        self.hot.keep(text, keys.generation, validity, now, identity.clone());
        Ok(identity)
    }

    fn verify(&self, text: &[u8], keys: &KeySet, now: WallTime) -> Result<(Identity, Validity), AuthRefusal> {
        let text = str::from_utf8(text).map_err(|_| AuthRefusal::Malformed("the token is not ascii"))?;
        let token = Token::parse(text)?;
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(AuthRefusal::AlgorithmRefused);
        }
        let key = keys.find(token.kid.as_deref(), token.algorithm).ok_or(AuthRefusal::UnknownKid)?;
        if !key.verifies(token.signed, token.signature) {
            return Err(AuthRefusal::BadSignature);
        }
        let claims = token.claims()?;
        let validity = Validity::read(&claims, u64::from(self.settings.leeway_seconds))?;
        validity.check(now)?;
        claims::check_issuer(&claims, self.settings.issuer.as_deref())?;
        claims::check_audience(&claims, &self.settings.audience)?;
        Ok((self.identify(claims)?, validity))
    }

    /// Who a token with these claims is for, and whether its scopes suffice. Asks nothing about key, time, issuer and
    /// audience: for a route's inline tests, which state claims and have no token, and for `check` after all that.
    ///
    /// # Errors
    /// `Malformed` for a subject that is no text, `ScopeMissing`.
    pub fn identify(&self, claims: Map<String, Value>) -> Result<Identity, AuthRefusal> {
        claims::check_scopes(&claims, &self.settings.required_scopes)?;
        let subject = claims::subject(&claims)?;
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or("");
        let wanted = &self.settings.claims_to_headers;
        let headers = wanted
            .iter()
            .filter_map(|(name, claim)| Some((name.clone(), claims::header_value(claims.get(&**claim)?)?)))
            .collect();
        Ok(Identity {
            limit_key: format!("subject {issuer} {subject}").into(),
            subject: subject.into(),
            consumer: None,
            credential: Credential::Jwt,
            headers,
            claims: Arc::new(claims),
        })
    }
}

/// The one bearer token (RFC 6750 §2.1). Two credentials are refused whole: which of them counts would be a guess.
fn bearer(headers: &HeaderMap) -> Result<&[u8], AuthRefusal> {
    const MISSING: AuthRefusal = AuthRefusal::Missing(Wanted::Bearer);
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(MISSING)?;
    if fields.next().is_some() {
        return Err(AuthRefusal::Malformed("more than one authorization field"));
    }
    let (scheme, rest) = field.as_bytes().split_at_checked(SCHEME.len()).ok_or(MISSING)?;
    match rest {
        _ if !scheme.eq_ignore_ascii_case(SCHEME) => Err(MISSING),
        [] => Err(AuthRefusal::Malformed("the bearer token is empty")),
        [b' ', ..] => {
            let token_at = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
            Ok(rest.get(token_at..).unwrap_or_default())
        }
        [_, ..] => Err(MISSING),
    }
}

fn check_settings(settings: &JwtSettings) -> Result<(), JwtSettingsError> {
    if settings.algorithms.is_empty() {
        return Err(JwtSettingsError::NoAlgorithm);
    }
    if settings.leeway_seconds > LEEWAY_SECONDS_MAX {
        return Err(JwtSettingsError::Leeway);
    }
    let is_scope = |scope: &str| {
        !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    if let Some(scope) = settings.required_scopes.iter().find(|scope| !is_scope(scope)) {
        return Err(JwtSettingsError::Scope(scope.clone()));
    }
    for (idx, (name, _)) in settings.claims_to_headers.iter().enumerate() {
        if is_gateway_owned(name) || *name == AUTHORIZATION {
            return Err(JwtSettingsError::Header(name.clone()));
        }
        if settings.claims_to_headers.iter().take(idx).any(|(other, _)| other == name) {
            return Err(JwtSettingsError::HeaderTwice(name.clone()));
        }
    }
    Ok(())
}
