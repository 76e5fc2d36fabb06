//! One try of an HTTP check.
//! It reports what happened; what that means for the check is decided by the store.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_consul_wire::CheckStatus;
use reqwest::{Client, Method, Response, StatusCode};

use crate::limits::CHECK_OUTPUT_BYTES_MAX;
use crate::store::TryResult;

/// Clients for checks: one that verifies certificates, and one for checks with `TLSSkipVerify`.
#[derive(Debug, Clone)]
pub(crate) struct HttpClients {
    verifying: Client,
    trusting: Client,
}

/// One request to make.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) url: &'a str,
    pub(super) method: &'a str,
    pub(super) headers: &'a BTreeMap<String, Vec<String>>,
    pub(super) body: &'a str,
    pub(super) tls_skip_verify: bool,
}

impl HttpClients {
    /// Builds both clients.
    ///
    /// # Errors
    /// The TLS roots of the system could not be loaded.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        // The process may have chosen a provider already; then that one is used.
        let _already_chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // A new connection for each try: an instance that is gone must not look alive through an old one. No proxy
        // from the environment: a check asks the instance, not somebody on the way.
        let builder =
            || Client::builder().pool_max_idle_per_host(0).no_proxy().user_agent("Consul Health Check");
        Ok(Self {
            verifying: builder().build()?,
            trusting: builder().tls_danger_accept_invalid_certs(true).build()?,
        })
    }

    pub(super) async fn try_once(&self, ask: &Ask<'_>, timeout: Duration) -> TryResult {
        let critical = |output: String| TryResult { status: CheckStatus::Critical, output };
        let Ok(method) = Method::from_bytes(ask.method.as_bytes()) else {
            return critical(format!("invalid method {:?}", ask.method));
        };
        let client = if ask.tls_skip_verify { &self.trusting } else { &self.verifying };
        let mut request = client.request(method, ask.url).timeout(timeout);
        if !ask.headers.keys().any(|name| name.eq_ignore_ascii_case("accept")) {
            request = request.header("accept", "text/plain, text/*, */*");
        }
        for (name, values) in ask.headers {
            for value in values {
                request = request.header(name, value);
            }
        }
        match request.body(ask.body.to_owned()).send().await {
            Ok(response) => {
                let status = response.status();
                let said = read_some(response).await;
                let output = format!("HTTP {} {}: {status} Output: {said}", ask.method, ask.url);
                TryResult { status: judge(status), output }
            }
            Err(error) => critical(explain(&error)),
        }
    }
}

/// Consul's rule.
fn judge(status: StatusCode) -> CheckStatus {
    if status.is_success() {
        CheckStatus::Passing
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        CheckStatus::Warning
    } else {
        CheckStatus::Critical
    }
}

/// The beginning of the body; the rest is not read.
async fn read_some(mut response: Response) -> String {
    let mut said = Vec::new();
    while said.len() < CHECK_OUTPUT_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = CHECK_OUTPUT_BYTES_MAX - said.len();
                said.extend(chunk.iter().take(room));
            }
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// The error with its causes; reqwest hides "connection refused" two levels down.
fn explain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_passes_and_only_429_warns() {
        assert_eq!(judge(StatusCode::OK), CheckStatus::Passing);
        assert_eq!(judge(StatusCode::NO_CONTENT), CheckStatus::Passing);
        assert_eq!(judge(StatusCode::TOO_MANY_REQUESTS), CheckStatus::Warning);
        assert_eq!(judge(StatusCode::NOT_FOUND), CheckStatus::Critical);
        assert_eq!(judge(StatusCode::SERVICE_UNAVAILABLE), CheckStatus::Critical);
    }
}
