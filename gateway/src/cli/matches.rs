//! `portcullis match`: which route answers a request, and why each other one does not.

use std::process::ExitCode;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_core::head::{Authority, normalize};
use portcullis_core::router::{RouteAsk, Verdict};
use portcullis_core::snapshot::Snapshot;
use serde_json::json;

use super::{ConfigFile, EXIT_INVALID, Output, Overlaid, complain, environment, print, refuse};
use crate::boot;
use crate::reload::Disk;

/// Routes that lost and are shown unless `--all` is given.
const LOSERS_SHOWN: usize = 20;

#[derive(Debug, Args)]
pub(super) struct Match {
    /// The request: METHOD HOST/PATH[?QUERY], such as 'GET shop.example.com/api/orders/42'
    request: String,
    /// A header of the request, such as 'X-Beta: yes'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The listener the request comes in on (default: any)
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Show every route that lost
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    overlaid: Overlaid,
    #[command(flatten)]
    output: Output,
}

/// A request as it was written.
struct Asked {
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
}

impl Match {
    pub(super) fn run(self) -> ExitCode {
        let asked = match read(&self.request, &self.headers) {
            Ok(asked) => asked,
            Err(error) => {
                complain(&format!("portcullis: {error}\n"));
                return ExitCode::from(EXIT_INVALID);
            }
        };
        let catalog = super::catalog();
        let overlay = match self.overlaid.read() {
            Ok(overlay) => overlay,
            Err(code) => return code,
        };
        match boot::check(&self.config.path, &Disk, overlay.as_ref(), &environment(), &catalog) {
            Ok(candidate) => self.answer(&candidate.snapshot, &asked),
            Err(refusal) => refuse(&refusal, self.output),
        }
    }

    fn answer(&self, snapshot: &Snapshot, asked: &Asked) -> ExitCode {
        let ask = RouteAsk {
            listener: self.listener.as_deref(),
            host: &asked.host,
            path: &asked.path,
            method: &asked.method,
            headers: &asked.headers,
            query: asked.query.as_deref(),
        };
        let verdicts = snapshot.router.explain(&ask);
        let winner = verdicts.iter().find(|verdict| verdict.lost.is_none());
        if self.output.json {
            let lost: Vec<_> =
                losers(&verdicts).map(|(route, why)| json!({ "route": route, "reason": why })).collect();
            print(&format!(
                "{:#}\n",
                json!({ "route": winner.map(|won| &won.route), "path": asked.path, "lost": lost })
            ));
        } else if !self.output.quiet {
            print(&self.text(snapshot, winner, &verdicts));
        }
        if winner.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn text(&self, snapshot: &Snapshot, winner: Option<&Verdict>, verdicts: &[Verdict]) -> String {
        let mut text = match winner.and_then(|won| snapshot.route(&won.route)) {
            Some(route) => {
                let targets: Vec<&str> = route.target.all().map(|to| &*to.upstream.name).collect();
                format!("{} → {}\n", route.name, targets.join(", "))
            }
            None => "no route\n".to_owned(),
        };
        let shown = if self.all { usize::MAX } else { LOSERS_SHOWN };
        for (route, why) in losers(verdicts).take(shown) {
            text.push_str(&format!("  not {route}: {why}\n"));
        }
        let hidden = losers(verdicts).count().saturating_sub(shown);
        if hidden > 0 {
            text.push_str(&format!("  and {hidden} more; --all shows them\n"));
        }
        text
    }
}

fn losers(verdicts: &[Verdict]) -> impl Iterator<Item = (&str, String)> {
    verdicts.iter().filter_map(|verdict| Some((&*verdict.route, verdict.lost.as_ref()?.to_string())))
}

fn read(request: &str, headers: &[String]) -> Result<Asked, String> {
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
    let headers = headers.iter().map(|line| header(line)).collect::<Result<HeaderMap, String>>()?;
    Ok(Asked { method, host, path, query, headers })
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let bad = || format!("`{line}` is no header; write it as 'X-Beta: yes'");
    let (name, value) = line.split_once(':').ok_or_else(bad)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    Ok((name, HeaderValue::from_str(value.trim()).map_err(|_| bad())?))
}
