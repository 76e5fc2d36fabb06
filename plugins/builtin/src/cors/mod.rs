//! Cross-origin resource sharing, as the Fetch standard has it (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Decides what a browser may show to a page of another origin, and answers preflights. Protects no server: a client
//! that is no browser does not ask. Whatever CORS fields the upstream sends are replaced, so that one place decides.

mod origin;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use portcullis_plugin_sdk::view::is_preflight;
use portcullis_plugin_sdk::{
    BuildError, Fault, Filter, Flow, Hooks, Plugin, Reply, RequestView, ResponseView, Seconds,
};
use schemars::JsonSchema;
use serde::Deserialize;

use origin::Origins;

/// The fields of an upstream's reply that this filter takes over.
const TAKEN_OVER: [HeaderName; 4] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
];

/// Lets pages of other origins use a route.
#[derive(Debug)]
pub struct Cors;

/// Which pages may do what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Origins that may read replies: `https://shop.example.com`, `https://*.example.com` (any subdomain, not the
    /// domain itself), or `*` for all.
    origins: Vec<String>,
    /// Methods a page may use beyond GET, HEAD and POST; `*` for all. Default: GET, HEAD, POST.
    #[serde(default = "safelisted_methods")]
    methods: Vec<String>,
    /// Request headers a page may set beyond the safelisted ones; `*` for all but Authorization.
    #[serde(default)]
    headers: Vec<String>,
    /// Reply headers a page may read beyond the safelisted ones; `*` for all.
    #[serde(default)]
    expose_headers: Vec<String>,
    /// Whether pages may send cookies and other credentials. Not together with any `*`.
    #[serde(default)]
    credentials: bool,
    /// How long a browser may remember a preflight's answer, for example `10m`. Browsers cap it.
    #[serde(default)]
    max_age: Option<Seconds>,
}

fn safelisted_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).to_vec()
}

impl Plugin for Cors {
    const NAME: &'static str = "cors";
    type Settings = Settings;

    fn build(settings: Settings) -> Result<Box<dyn Filter>, BuildError> {
        if settings.credentials {
            refuse_wildcards(&settings)?;
        }
        Ok(Box::new(CorsFilter {
            origins: Origins::parse(&settings.origins)?,
            methods: list("/methods", &settings.methods, is_method)?,
            headers: list("/headers", &settings.headers, is_header)?,
            exposed: list("/expose_headers", &settings.expose_headers, is_header)?,
            credentials: settings.credentials,
            max_age: settings.max_age.map(|age| HeaderValue::from(age.0)),
        }))
    }
}

/// The Fetch standard reads `*` as a literal name when credentials are in play, so such a setting would not do what
/// it says; and echoing every origin instead would hand every page the user's session.
fn refuse_wildcards(settings: &Settings) -> Result<(), BuildError> {
    let lists = [
        ("/origins", &settings.origins),
        ("/methods", &settings.methods),
        ("/headers", &settings.headers),
        ("/expose_headers", &settings.expose_headers),
    ];
    for (pointer, items) in lists {
        if let Some(idx) = items.iter().position(|item| item == "*") {
            let message = "`*` does not go with `credentials: true`; list what is allowed";
            return Err(BuildError::new(format!("{pointer}/{idx}"), message));
        }
    }
    Ok(())
}

/// A comma separated list of what was set, or nothing for an empty list.
fn list(
    pointer: &str,
    items: &[String],
    is_item: fn(&str) -> bool,
) -> Result<Option<HeaderValue>, BuildError> {
    if let Some(idx) = items.iter().position(|item| item != "*" && !is_item(item)) {
        let item = items.get(idx).map_or("", String::as_str);
        return Err(BuildError::new(
            format!("{pointer}/{idx}"),
            format!("`{item}` is not a name that can be sent"),
        ));
    }
    if items.iter().any(|item| item == "*") && items.len() > 1 {
        return Err(BuildError::new(pointer, "`*` allows all; leave out the other names"));
    }
    if items.is_empty() {
        return Ok(None);
    }
    HeaderValue::try_from(items.join(", "))
        .map(Some)
        .map_err(|error| BuildError::new(pointer, error.to_string()))
}

fn is_method(name: &str) -> bool {
    Method::from_bytes(name.as_bytes()).is_ok() && !name.bytes().any(|b| b.is_ascii_lowercase())
}

fn is_header(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[derive(Debug)]
struct CorsFilter {
    origins: Origins,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
}

impl CorsFilter {
    /// The value of `Access-Control-Allow-Origin` for the page that asks, if it may.
    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut origins = request.get_all(ORIGIN).iter();
        let (origin, None) = (origins.next()?, origins.next()) else { return None };
        match &self.origins {
            Origins::All => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => {
                listed.iter().any(|pattern| pattern.matches(origin.as_bytes())).then(|| origin.clone())
            }
        }
    }

    /// Whether a reply differs from origin to origin, so that caches must not mix them up. It does so too for an
    /// origin that is not allowed and for no origin at all.
    const fn varies(&self) -> bool {
        matches!(self.origins, Origins::Listed(_))
    }

    fn preflight_reply(&self, request: &HeaderMap) -> Reply {
        let mut reply = Reply::new(StatusCode::NO_CONTENT);
        if self.varies() {
            reply = reply.with_header(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.allowed_origin(request) else { return reply };
        let credentials = self.credentials.then(|| HeaderValue::from_static("true"));
        let fields = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, Some(origin)),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials),
            (ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
            (ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone()),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                reply = reply.with_header(name, value);
            }
        }
        reply
    }
}

impl Filter for CorsFilter {
    fn hooks(&self) -> Hooks {
        Hooks::PREFLIGHT | Hooks::RESPONSE
    }

    fn on_preflight(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        Ok(Flow::Respond(self.preflight_reply(request.headers())))
    }

    fn on_response(&self, response: &mut ResponseView<'_>) -> Result<Flow, Fault> {
        let request = response.request_headers();
        if is_preflight(response.facts().method, request) {
            return Ok(Flow::Continue);
        }
        let origin = self.allowed_origin(request);
        let headers = response.headers_mut();
        for name in &TAKEN_OVER {
            headers.remove(name)?;
        }
        if self.varies() && !has_vary_origin(headers.map()) {
            headers.append(&VARY, HeaderValue::from_static("Origin"))?;
        }
        let Some(origin) = origin else { return Ok(Flow::Continue) };
        headers.set(&ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
        if self.credentials {
            headers.set(&ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))?;
        }
        if let Some(exposed) = &self.exposed {
            headers.set(&ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone())?;
        }
        Ok(Flow::Continue)
    }
}

fn has_vary_origin(headers: &HeaderMap) -> bool {
    headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
    })
}

#[cfg(test)]
mod tests;
