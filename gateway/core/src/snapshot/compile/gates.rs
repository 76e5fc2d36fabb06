//! Gates: tokens, API keys, limits.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use portcullis_schema as schema;
use portcullis_schema::{At, Code, Document, Setting, Span};

use super::report::Report;
use crate::auth::api_key::DEFAULT_HEADER;
use crate::auth::jwt::{Algorithm, JwksSource, JwtGate, JwtSettings};
use crate::auth::{ApiKeyGate, ApiKeys, KeyDigest};
use crate::limit::{LimitBy, LimitSettings};
use crate::snapshot::carry::Cells;

/// Clock difference accepted unless the document says otherwise.
const LEEWAY_DEFAULT: Duration = Duration::from_secs(30);
/// Counts kept at once unless the document says otherwise.
const KEYS_MAX_DEFAULT: u32 = 100_000;

/// The token gate of `jwt`.
pub(super) fn jwt_gate(
    jwt: &At<schema::Jwt>,
    cells: &mut Cells<'_>,
    report: &mut Report,
) -> Option<Arc<JwtGate>> {
    let settings = &jwt.value;
    let source = match &settings.jwks {
        Some(jwks) => jwks_source(jwks, report)?,
        None => {
            let help = "add `jwks: https://…/jwks.json` or `jwks: consul://service/.well-known/jwks.json`";
            let message = "`jwt` does not say where the keys are";
            report.say(Code::IncompleteSetting, jwt.at, message, "no `jwks`", Some(help.to_owned()));
            return None;
        }
    };
    let leeway = settings.leeway.as_ref().map_or(LEEWAY_DEFAULT, |leeway| leeway.value);
    let algorithms = match &settings.algorithms {
        Some(listed) => listed.iter().map(|algorithm| algorithm_of(algorithm.value)).collect(),
        None => Algorithm::ALL.to_vec(),
    };
    let compiled = JwtSettings {
        issuer: settings.issuer.as_ref().map(|issuer| issuer.value.as_str().into()),
        audience: texts(settings.audience.iter().flat_map(|audience| &audience.0)),
        leeway_seconds: u32::try_from(leeway.as_secs()).unwrap_or(u32::MAX),
        algorithms,
        required_scopes: texts(settings.scopes.iter().flatten()),
        claims_to_headers: settings
            .headers
            .iter()
            .filter_map(|(name, claim)| Some((header(name)?, claim.value.as_str().into())))
            .collect(),
    };
    match cells.jwt_gate(compiled, source) {
        Ok(gate) => Some(gate),
        Err(why) => {
            report.say(Code::BadCombination, jwt.at, format!("`jwt`: {why}"), "not possible", None);
            None
        }
    }
}

fn texts<'t>(texts: impl IntoIterator<Item = &'t At<String>>) -> Vec<Arc<str>> {
    texts.into_iter().map(|text| text.value.as_str().into()).collect()
}

fn algorithm_of(algorithm: schema::JwtAlgorithm) -> Algorithm {
    match algorithm {
        schema::JwtAlgorithm::Es256 => Algorithm::Es256,
        schema::JwtAlgorithm::Rs256 => Algorithm::Rs256,
        schema::JwtAlgorithm::EdDsa => Algorithm::EdDsa,
    }
}

fn jwks_source(jwks: &At<schema::JwksSource>, report: &mut Report) -> Option<JwksSource> {
    match &jwks.value {
        schema::JwksSource::Url(url) => match url.as_str().parse::<http::Uri>() {
            Ok(_) => Some(JwksSource::Url(url.as_str().into())),
            Err(why) => {
                let message = format!("`{url}` is not a URL");
                report.say(Code::BadValue, jwks.at, message, "not a URL", Some(why.to_string()));
                None
            }
        },
        schema::JwksSource::Service { service, path } => {
            if service.tag.is_some() || service.dc.is_some() || service.passing.is_some() {
                let message = "keys are fetched from any healthy instance of a service: `tag`, `dc` and `passing` do not apply";
                let help = Some(format!("write `consul://{}{path}`", service.name));
                report.say(Code::BadCombination, jwks.at, message, "too particular", help);
                return None;
            }
            Some(JwksSource::Service { name: Arc::clone(&service.name), path: Arc::clone(path) })
        }
    }
}

/// A schema's header name as the header type of the data path.
pub(super) fn header(name: &schema::HeaderName) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_str().as_bytes()).ok()
}

/// The gate of `api_key` on the keys of all consumers.
pub(super) fn api_key_gate(settings: &schema::ApiKey, keys: &Arc<ApiKeys>) -> Arc<ApiKeyGate> {
    let name = settings.header.as_ref().and_then(|name| header(&name.value)).unwrap_or(DEFAULT_HEADER);
    Arc::new(ApiKeyGate::new(name, Arc::clone(keys)))
}

/// The keys of all consumers; a key of two of them is reported.
pub(super) fn api_keys(document: &Document, report: &mut Report) -> Arc<ApiKeys> {
    let mut owners: std::collections::BTreeMap<[u8; 32], (&schema::Name, Span)> =
        std::collections::BTreeMap::new();
    let mut digests = Vec::new();
    for (name, entry) in &document.consumers {
        for hash in entry.value.api_keys.iter().flatten().filter_map(|key| key.sha256.as_ref()) {
            match owners.get(&hash.value.0) {
                Some((owner, first)) if *owner != name => {
                    let message = format!("consumers `{owner}` and `{name}` have the same API key");
                    report.add(
                        schema::Diagnostic::new(Code::SharedApiKey, message)
                            .label(hash.at, "the same key again")
                            .label(*first, format!("the key of `{owner}`"))
                            .help("give each consumer a key of its own"),
                    );
                }
                Some(_) | None => {
                    owners.insert(hash.value.0, (name, hash.at));
                    if let Ok(digest) = KeyDigest::from_hex(&hex::encode(hash.value.0)) {
                        digests.push((digest, name.shared()));
                    }
                }
            }
        }
    }
    // shared keys were reported above and left out
    Arc::new(ApiKeys::new(digests).unwrap_or_default())
}

/// The settings of a limit called `name`; `None` if it is reported.
pub(super) fn limit_settings(
    limit: &At<schema::RateLimit>,
    name: Arc<str>,
    by_default: LimitBy,
    report: &mut Report,
) -> Option<LimitSettings> {
    let settings = &limit.value;
    let Some(rate) = &settings.rate else {
        let help = Some("add `rate`, such as `rate: 100/s`".to_owned());
        report.say(Code::IncompleteSetting, limit.at, "`rate_limit` has no `rate`", "no `rate`", help);
        return None;
    };
    let by = match settings.by.as_ref().map(|by| &by.value) {
        None => by_default,
        Some(schema::LimitBy::Ip) => LimitBy::Ip,
        Some(schema::LimitBy::Consumer) => LimitBy::Consumer,
        Some(schema::LimitBy::Route) => LimitBy::Route,
        Some(schema::LimitBy::Header(name)) => LimitBy::Header(header(name)?),
    };
    let keys_max = settings.max_keys.as_ref().map_or(KEYS_MAX_DEFAULT, |max| max.value.get());
    Some(LimitSettings {
        name,
        permits: rate.value.permits,
        per: rate.value.per,
        burst: settings.burst.as_ref().map_or(rate.value.permits, |burst| burst.value),
        by,
        dry_run: settings.dry_run.as_ref().is_some_and(|dry_run| dry_run.value),
        keys_max: usize::try_from(keys_max).unwrap_or(usize::MAX),
    })
}

/// A setting that is on, with its place.
pub(super) fn on<T: Clone>(setting: &Option<At<Setting<T>>>) -> Option<At<T>> {
    let setting = setting.as_ref()?;
    setting.value.on().map(|value| At::new(value.clone(), setting.at))
}
