//! What the listeners refuse before there is an exchange: counted, and written like any request.

use std::io::Write;
use std::sync::Arc;

use super::access_log::{SampledLog, escape};
use super::metrics::Metrics;
use crate::clock;
use crate::listener::{Refusal, RefusalSink};
use crate::proxy::fresh_id;

/// Takes the listeners' reports.
#[derive(Debug)]
pub struct Refusals {
    metrics: Arc<Metrics>,
    log: Option<Arc<SampledLog>>,
}

impl Refusals {
    /// Counts in `metrics` and writes to `log`.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, log: Option<Arc<SampledLog>>) -> Self {
        Self { metrics, log }
    }
}

impl RefusalSink for Refusals {
    fn request_id(&self) -> String {
        fresh_id().as_str().to_owned()
    }

    fn refused(&self, refusal: &Refusal<'_>) {
        self.metrics.refused_early.with_label_values(&[refusal.listener, refusal.code]).inc();
        if let Some(log) = &self.log {
            log.lines.append(|line| write_line(line, refusal));
        }
    }
}

/// Writing into memory cannot fail.
fn write_line(out: &mut Vec<u8>, refusal: &Refusal<'_>) {
    let ts = clock::rfc3339(clock::since_epoch());
    let _ = write!(out, "{{\"ts\":\"{ts}\"");
    if let Some(id) = refusal.request_id {
        let _ = write!(out, ",\"id\":\"{id}\"");
    }
    let _ = write!(out, ",\"listener\":\"");
    escape(out, refusal.listener);
    let _ = write!(out, "\",\"client\":\"{}\"", refusal.client.ip());
    if let Some(status) = refusal.status {
        let _ = write!(out, ",\"status\":{}", status.as_u16());
    }
    let _ = write!(
        out,
        ",\"answered_by\":\"gateway\",\"code\":\"{}\",\"blame\":\"client\",\"reason\":\"",
        refusal.code
    );
    escape(out, &refusal.detail);
    let _ = write!(out, "\",\"attempts\":[]}}");
}
