//! Sets, adds and removes header fields, on the way in and on the way out.
//!
//! Everything that can be refused is refused when the filter is built. In each direction fields are removed first,
//! then set, then added, so that the three do not depend on how they are written.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use portcullis_plugin_sdk::fault::pointer_token;
use portcullis_plugin_sdk::view::is_gateway_owned;
use portcullis_plugin_sdk::{
    BuildError, Fault, Filter, Flow, Headers as HeaderView, Hooks, Plugin, RequestView, ResponseView,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Edits header fields.
#[derive(Debug)]
pub struct Headers;

/// Which fields to edit, in each direction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What to change before the upstream sees the request.
    #[serde(default)]
    request: EditSettings,
    /// What to change before the client sees the reply.
    #[serde(default)]
    response: EditSettings,
}

/// Edits in one direction.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EditSettings {
    /// Fields to have exactly this value, whatever was there.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// Fields to get one more value.
    #[serde(default)]
    add: BTreeMap<String, String>,
    /// Fields to take out.
    #[serde(default)]
    remove: Vec<String>,
}

impl Plugin for Headers {
    const NAME: &'static str = "headers";
    type Settings = Settings;

    fn build(settings: Settings) -> Result<Box<dyn Filter>, BuildError> {
        let filter = HeadersFilter {
            request: Edits::build("/request", &settings.request)?,
            response: Edits::build("/response", &settings.response)?,
        };
        if filter.hooks().is_empty() {
            return Err(BuildError::new(
                "",
                "nothing to do: give `request` or `response` a `set`, `add` or `remove`",
            ));
        }
        Ok(Box::new(filter))
    }
}

#[derive(Debug)]
struct HeadersFilter {
    request: Edits,
    response: Edits,
}

impl Filter for HeadersFilter {
    fn hooks(&self) -> Hooks {
        let request = if self.request.is_empty() { Hooks::NONE } else { Hooks::REQUEST };
        let response = if self.response.is_empty() { Hooks::NONE } else { Hooks::RESPONSE };
        request | response
    }

    fn on_request(&self, request: &mut RequestView<'_>) -> Result<Flow, Fault> {
        self.request.apply(request.headers_mut())
    }

    fn on_response(&self, response: &mut ResponseView<'_>) -> Result<Flow, Fault> {
        self.response.apply(response.headers_mut())
    }
}

#[derive(Debug)]
struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    fn build(pointer: &str, settings: &EditSettings) -> Result<Self, BuildError> {
        let fields = |list: &str, fields: &BTreeMap<String, String>| {
            let fields = fields.iter().map(|(name, value)| {
                let pointer = format!("{pointer}/{list}/{}", pointer_token(name));
                Ok((parse_name(&pointer, name)?, parse_value(&pointer, value)?))
            });
            fields.collect::<Result<Vec<_>, BuildError>>()
        };
        let remove = settings.remove.iter().enumerate();
        let edits = Self {
            remove: remove
                .map(|(idx, name)| parse_name(&format!("{pointer}/remove/{idx}"), name))
                .collect::<Result<_, _>>()?,
            set: fields("set", &settings.set)?,
            add: fields("add", &settings.add)?,
        };
        edits.check_once(pointer)?;
        Ok(edits)
    }

    /// Names differ in case only when somebody was not looking; a field both set and removed says two things.
    fn check_once(&self, pointer: &str) -> Result<(), BuildError> {
        let mut seen: Vec<&HeaderName> = Vec::new();
        for name in self.remove.iter().chain(self.set.iter().map(|(name, _)| name)) {
            if seen.contains(&name) {
                return Err(BuildError::new(
                    pointer,
                    format!("`{name}` is named twice in `set` and `remove`"),
                ));
            }
            seen.push(name);
        }
        Ok(())
    }

    const fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn apply(&self, headers: &mut HeaderView<'_>) -> Result<Flow, Fault> {
        for name in &self.remove {
            headers.remove(name)?;
        }
        for (name, value) in &self.set {
            headers.set(name, value.clone())?;
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone())?;
        }
        Ok(Flow::Continue)
    }
}

fn parse_name(pointer: &str, text: &str) -> Result<HeaderName, BuildError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| BuildError::new(pointer, format!("`{text}` is not a header name")))?;
    if is_gateway_owned(&name) {
        return Err(BuildError::new(
            pointer,
            format!("`{name}` belongs to the gateway and cannot be edited"),
        ));
    }
    Ok(name)
}

/// Visible ASCII, spaces and tabs inside. Everything else is read differently by different upstreams.
fn parse_value(pointer: &str, text: &str) -> Result<HeaderValue, BuildError> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t') && text.trim() == text;
    match HeaderValue::from_str(text) {
        Ok(value) if is_plain => Ok(value),
        Ok(_) | Err(_) => {
            Err(BuildError::new(pointer, "a header value is visible ASCII, without spaces at its ends"))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use portcullis_plugin_sdk::Reply;
    use portcullis_plugin_sdk::testing::Harness;
    use serde_json::{Value, json};

    use super::*;

    fn headers(settings: Value) -> Harness {
        Harness::with::<Headers>(settings).unwrap()
    }

    #[test]
    fn the_upstream_sees_what_was_set_added_and_not_what_was_removed() {
        let harness = headers(json!({
            "request": { "set": { "X-Team": "shop" }, "add": { "X-Tag": "b" }, "remove": ["Cookie"] }
        }));
        let seen = harness
            .get("/")
            .header("x-team", "spoofed")
            .header("x-team", "twice")
            .header("x-tag", "a")
            .header("cookie", "s=1")
            .header("accept", "*/*")
            .send()
            .unwrap();
        assert_eq!(seen.upstream_header("x-team"), ["shop"]);
        assert_eq!(seen.upstream_header("x-tag"), ["a", "b"]);
        assert!(seen.upstream_header("cookie").is_empty());
        assert_eq!(seen.upstream_header("accept"), ["*/*"]);
        assert!(seen.header("x-team").is_empty());
    }

    #[test]
    fn the_client_sees_what_was_set_added_and_not_what_was_removed() {
        let harness = headers(json!({
            "response": { "set": { "Cache-Control": "no-store" }, "add": { "Vary": "Accept" }, "remove": ["Server"] }
        }));
        let upstream = Reply::new(StatusCode::OK)
            .with_header(http::header::SERVER, HeaderValue::from_static("old/1.0"))
            .with_header(http::header::CACHE_CONTROL, HeaderValue::from_static("public"))
            .with_header(http::header::VARY, HeaderValue::from_static("Origin"));
        let seen = harness.get("/").upstream_answers(upstream).send().unwrap();
        assert_eq!(seen.header("cache-control"), ["no-store"]);
        assert_eq!(seen.header("vary"), ["Origin", "Accept"]);
        assert!(seen.header("server").is_empty());
    }

    #[test]
    fn only_the_directions_that_are_edited_cost_anything() {
        let one = json!({ "set": { "x-a": "1" } });
        assert_eq!(headers(json!({ "request": one })).hooks(), Hooks::REQUEST);
        assert_eq!(headers(json!({ "response": one })).hooks(), Hooks::RESPONSE);
        let both = headers(json!({ "request": one, "response": one }));
        assert_eq!(both.hooks(), Hooks::REQUEST | Hooks::RESPONSE);
    }

    #[test]
    fn a_mistake_in_the_settings_is_pointed_at() {
        let harness = headers(json!({ "request": { "remove": ["x-a"] } }));
        let check = |settings: Value, wanted: &str| {
            let error = harness.config_error(settings);
            assert!(error.starts_with(wanted), "{error}");
        };
        check(json!({}), "nothing to do");
        check(json!({ "request": {} }), "nothing to do");
        check(json!({ "request": { "sett": {} } }), "/request");
        check(json!({ "reqest": {} }), "/reqest: unknown setting `reqest`; did you mean `request`?");
        check(
            json!({ "request": { "set": { "x a": "1" } } }),
            "/request/set/x a: `x a` is not a header name",
        );
        check(
            json!({ "request": { "add": { "a/b": "1" } } }),
            "/request/add/a~1b: `a/b` is not a header name",
        );
        check(json!({ "response": { "remove": ["x", ""] } }), "/response/remove/1: `` is not a header name");
        check(json!({ "request": { "set": { "X-A": "1", "x-a": "2" } } }), "/request: `x-a` is named twice");
        check(
            json!({ "request": { "set": { "x-a": "1" }, "remove": ["X-A"] } }),
            "/request: `x-a` is named twice",
        );
        for value in ["a\r\nb: c", "a\nb", "é", " a", "a ", "\u{0}"] {
            check(
                json!({ "response": { "set": { "x": value } } }),
                "/response/set/x: a header value is visible",
            );
        }
    }

    #[test]
    fn fields_that_frame_a_message_cannot_be_edited() {
        let harness = headers(json!({ "request": { "remove": ["x-a"] } }));
        for name in
            ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Keep-Alive"]
        {
            for settings in [
                json!({ "request": { "set": { name: "x" } } }),
                json!({ "response": { "add": { name: "x" } } }),
                json!({ "request": { "remove": [name] } }),
            ] {
                let error = harness.config_error(settings);
                assert!(error.contains("belongs to the gateway"), "{error}");
            }
        }
    }
}
