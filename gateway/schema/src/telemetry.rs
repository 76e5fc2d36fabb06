//! `telemetry`: what the gateway writes down.

use crate::decode::keys;
use crate::merge::Setting;
use crate::span::At;
use crate::value::{FilePath, Share};

keys! {
    /// What the gateway writes down.
    pub struct Telemetry is "telemetry" {
        /// One line a request (default: on); `none` turns it off.
        key access_log: Option<At<Setting<AccessLog>>>,
    }
    later {
        "traces": "traces come later; the traceparent header is continued already",
        "logs": "log export comes later; logs go to standard error",
        "otlp": "OTLP export comes later",
    }
    instead {
        "metrics": "metrics are always on; their address is the top-level key `metrics`",
    }
}

keys! {
    /// One line a request.
    pub struct AccessLog is "an access log" {
        /// How a line looks (default `json`).
        key format: Option<At<LogFormat>>,
        /// The file to append to (default: standard output).
        key path: Option<At<FilePath>>,
        /// The share of requests written (default `100%`). Answers of 500 and above always are.
        key sample: Option<At<Share>>,
    }
}

/// How a line of the access log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
}
