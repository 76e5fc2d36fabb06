//! The client of the admin API: one question, one whole answer; or a stream of events.

use std::time::Duration;

use http::Method;
use reqwest::{RequestBuilder, Response, Url};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Trouble;

/// Longest wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longest silence: of a gateway that works on an answer, and of a stream, which has a comment every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Most pages of one list: with 1000 items each, all that a configuration may have.
const PAGES_MAX: usize = 300;
/// Most bytes of one answer, and of one event.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A gateway's admin API.
#[derive(Debug)]
pub(in crate::cli) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    runtime: Runtime,
}

/// A question.
#[derive(Debug, Default)]
pub(in crate::cli) struct Ask<'a> {
    /// The segments of the path below `/api/v1`, not encoded.
    pub(in crate::cli) path: &'a [&'a str],
    pub(in crate::cli) query: Vec<(&'static str, String)>,
    pub(in crate::cli) headers: Vec<(&'static str, String)>,
    /// The media type and the bytes.
    pub(in crate::cli) body: Option<(&'static str, Vec<u8>)>,
}

/// A whole answer that is no refusal.
#[derive(Debug)]
pub(in crate::cli) struct Answer {
    pub(in crate::cli) etag: Option<String>,
    pub(in crate::cli) value: Value,
}

/// A stream to follow.
#[derive(Debug)]
pub(in crate::cli) struct Stream<'a> {
    /// As in [`Ask`].
    pub(in crate::cli) path: &'a [&'a str],
    /// Only parameters that have a value are sent.
    pub(in crate::cli) query: Vec<(&'static str, Option<String>)>,
    /// The event to go on after; without one what happens from now on is told.
    pub(in crate::cli) from: Option<&'a str>,
}

/// What a stream said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Told {
    pub(in crate::cli) id: Option<String>,
    pub(in crate::cli) kind: String,
    pub(in crate::cli) data: String,
}

impl<'a> Ask<'a> {
    /// Of this path, with nothing else.
    pub(in crate::cli) fn of(path: &'a [&'a str]) -> Self {
        Self { path, ..Self::default() }
    }

    /// With a JSON body.
    pub(in crate::cli) fn json(self, value: &Value) -> Self {
        Self { body: Some(("application/json", value.to_string().into_bytes())), ..self }
    }

    /// With one more parameter, if it has a value.
    pub(in crate::cli) fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (name, value)));
        self
    }
}

impl Client {
    /// A client of the API at this URL, or at `unix:PATH`.
    pub(super) fn new(admin: &str, token: Option<String>) -> Result<Self, Trouble> {
        // The first to install a provider wins; this process has no other.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WAIT)
            .read_timeout(SILENCE_MAX);
        let (builder, base) = match admin.strip_prefix("unix:") {
            // The host of the URL is what the gateway's check of `Host` wants to see.
            Some(path) => (builder.unix_socket(path), "http://localhost"),
            None => (builder, admin),
        };
        let bad = |why: &str| {
            Trouble::Usage(format!("--admin {admin}: {why}; write http://HOST:PORT or unix:PATH"))
        };
        let base = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(bad("not an HTTP URL"));
        }
        // A machine without system certificates can still be asked without TLS.
        let builder = if base.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let http =
            builder.build().map_err(|error| Trouble::Unreachable(format!("no HTTP client: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Trouble::Unreachable(format!("no runtime: {error}")))?;
        Ok(Self { http, base, token, runtime })
    }

    /// Asks once.
    pub(in crate::cli) fn ask(&self, method: Method, ask: Ask<'_>) -> Result<Answer, Trouble> {
        let request = self.request(method, ask);
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| self.unreachable(&error))?;
            let etag = response.headers().get(http::header::ETAG);
            let etag = etag.and_then(|etag| etag.to_str().ok()).map(str::to_owned);
            let status = response.status();
            let body = self.whole(response).await?;
            let value = serde_json::from_slice(&body).unwrap_or_else(|_| text(&body));
            if status.is_success() {
                Ok(Answer { etag, value })
            } else {
                Err(refused(status.as_u16(), value))
            }
        })
    }

    /// Reads.
    pub(in crate::cli) fn get(&self, ask: Ask<'_>) -> Result<Value, Trouble> {
        self.ask(Method::GET, ask).map(|answer| answer.value)
    }

    /// Reads a list to its end.
    pub(in crate::cli) fn list(&self, path: &[&str], filter: Option<&str>) -> Result<Value, Trouble> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let ask = Ask::of(path)
                .with("limit", Some("1000".to_owned()))
                .with("filter", filter.map(str::to_owned))
                .with("cursor", cursor);
            let mut page = self.get(ask)?;
            if let Some(more) = page["items"].as_array_mut() {
                items.append(more);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(json!({ "items": items }))
    }

    /// Waits between two looks.
    pub(in crate::cli) fn pause(&self, span: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    /// Follows a stream until `each` has enough or the gateway ends it; and again from where it was if it was let go
    /// for being too slow.
    pub(in crate::cli) fn follow_on(
        &self,
        stream: &Stream<'_>,
        mut each: impl FnMut(&Told) -> bool,
    ) -> Result<(), Trouble> {
        let mut last = stream.from.map(str::to_owned);
        let mut is_let_go = true;
        while std::mem::take(&mut is_let_go) {
            let query = stream.query.iter().cloned();
            let mut ask = query.fold(Ask::of(stream.path), |ask, (name, value)| ask.with(name, value));
            ask.headers.extend(last.clone().map(|last| ("Last-Event-ID", last)));
            self.follow(ask, |told| {
                last = told.id.clone().or_else(|| last.take());
                is_let_go = told.kind == "lagged";
                is_let_go || each(told)
            })?;
        }
        Ok(())
    }

    /// Follows a stream until `each` has enough, or until it ends.
    fn follow(&self, ask: Ask<'_>, mut each: impl FnMut(&Told) -> bool) -> Result<(), Trouble> {
        let request = self.request(Method::GET, ask);
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
            if !response.status().is_success() {
                let status = response.status().as_u16();
                let body = self.whole(response).await?;
                return Err(refused(status, serde_json::from_slice(&body).unwrap_or_else(|_| text(&body))));
            }
            let mut lines = Lines::default();
            while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
                for told in lines.take(&chunk)? {
                    if !each(&told) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn request(&self, method: Method, ask: Ask<'_>) -> RequestBuilder {
        let mut url = self.base.clone();
        // A base that cannot have a path was refused before.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        match ask.body {
            Some((kind, bytes)) => request.header(http::header::CONTENT_TYPE, kind).body(bytes),
            None => request,
        }
    }

    async fn whole(&self, mut response: Response) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Trouble::Unreachable("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The innermost cause: the outer ones only say that something went wrong with a URL.
    fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let base = self.base.as_str().trim_end_matches('/');
        let way_out = "--admin or PORTCULLIS_ADMIN says where it is";
        Trouble::Unreachable(format!("no answer from a gateway at {base}: {cause}; {way_out}"))
    }
}

fn refused(status: u16, problem: Value) -> Trouble {
    Trouble::Refused { status, problem }
}

/// An answer that is no JSON, as the detail of a problem: it is not from a gateway.
fn text(body: &[u8]) -> Value {
    const CHARS_MAX: usize = 200;
    if body.is_empty() {
        return Value::Null;
    }
    let text: String = String::from_utf8_lossy(body).chars().take(CHARS_MAX).collect();
    json!({ "code": "no_problem", "detail": text })
}

/// Bytes of a stream on their way to events.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    told: Told,
}

impl Lines {
    /// The events that these bytes end.
    fn take(&mut self, chunk: &[u8]) -> Result<Vec<Told>, Trouble> {
        self.bytes.extend_from_slice(chunk);
        if self.bytes.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::Unreachable("an event is too long".to_owned()));
        }
        let mut ended = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(told) = self.line(line.trim_end_matches(['\r', '\n'])) {
                ended.push(told);
            }
        }
        Ok(ended)
    }

    fn line(&mut self, line: &str) -> Option<Told> {
        if line.is_empty() {
            let told = std::mem::take(&mut self.told);
            return Some(told).filter(|told| !told.data.is_empty());
        }
        let (name, value) = line.split_once(':')?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.told.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.told.kind),
            "data" => self.told.data.push_str(value),
            // A comment, or a field of a later version.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_their_bytes_are_cut() {
        let text = ": alive\n\nid: 1-2\nevent: drain\ndata: {\"a\":1}\n\n:\n\ndata: x\r\n\r\n";
        let expected = [
            Told { id: Some("1-2".into()), kind: "drain".into(), data: "{\"a\":1}".into() },
            Told { id: None, kind: String::new(), data: "x".into() },
        ];
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut told = lines.take(&text.as_bytes()[..cut]).unwrap();
            told.extend(lines.take(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(told, expected, "{cut}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_way_out() {
        for wrong in ["localhost:9901", "ftp://x", "", "mailto:x@y"] {
            let error = Client::new(wrong, None).unwrap_err();
            assert!(
                matches!(&error, Trouble::Usage(text) if text.contains("unix:PATH")),
                "{wrong}: {error:?}"
            );
        }
    }
}
