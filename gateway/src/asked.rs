//! A request as people write it, to ask the router about it: `GET shop.example.com/api/orders/42`.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_core::head::{Authority, normalize};
use portcullis_core::router::{RouteAsk, Verdict};
use serde_json::{Value, json};

/// A request as it was written.
#[derive(Debug)]
pub(crate) struct Asked {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

impl Asked {
    /// Reads `METHOD HOST/PATH[?QUERY]` and header lines.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written.
    pub(crate) fn read<'l>(
        request: &str,
        headers: impl IntoIterator<Item = &'l str>,
    ) -> Result<Self, String> {
        let help = "write it as 'GET shop.example.com/api/orders/42'";
        let (method, rest) =
            request.split_once(' ').ok_or_else(|| format!("`{request}` is no request; {help}"))?;
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method; {help}"))?;
        let slash = rest.find('/').ok_or_else(|| format!("`{rest}` has no path; {help}"))?;
        let (host, target) = rest.split_at(slash);
        let host = match host {
            "" => String::new(),
            named => Authority::parse(named.as_bytes())
                .map_err(|violation| format!("`{named}`: {}", violation.reason))?
                .host
                .to_string(),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = normalize(path).map_err(|refusal| format!("`{path}`: {}", refusal.reason()))?.into_owned();
        let headers = headers.into_iter().map(header).collect::<Result<HeaderMap, String>>()?;
        Ok(Self { method, host, path, query, headers })
    }

    /// The path in its normal form.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The question to the router, for one listener or for any.
    pub(crate) fn of<'a>(&'a self, listener: Option<&'a str>) -> RouteAsk<'a> {
        RouteAsk {
            listener,
            host: &self.host,
            path: &self.path,
            method: &self.method,
            headers: &self.headers,
            query: self.query.as_deref(),
        }
    }
}

/// The winner and why each other route lost, for programs.
pub(crate) fn matched_to_json(asked: &Asked, verdicts: &[Verdict]) -> Value {
    let winner = verdicts.iter().find(|verdict| verdict.lost.is_none());
    let lost: Vec<_> =
        losers(verdicts).map(|(route, why)| json!({ "route": route, "reason": why })).collect();
    json!({ "route": winner.map(|won| &won.route), "path": asked.path, "lost": lost })
}

/// The routes that lost, each with the reason.
pub(crate) fn losers(verdicts: &[Verdict]) -> impl Iterator<Item = (&str, String)> {
    verdicts.iter().filter_map(|verdict| Some((&*verdict.route, verdict.lost.as_ref()?.to_string())))
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let bad = || format!("`{line}` is no header; write it as 'X-Beta: yes'");
    let (name, value) = line.split_once(':').ok_or_else(bad)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    Ok((name, HeaderValue::from_str(value.trim()).map_err(|_| bad())?))
}
