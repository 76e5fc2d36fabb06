//! The configuration language of Portcullis as types, with every error at its place.
//!
//! Text in, a [`Document`] and all findings out. Nothing here reads a file or the environment: both are passed
//! in. What a name refers to is not known here; the core checks references and reports through [`Diagnostic`].
//!
//! A value that is required but absent in a [`Document`] (`None`, or an empty entry) has been reported already:
//! whoever reads on may skip it silently.

mod codes;
mod decode;
mod diagnostic;
mod expand;
mod include;
mod json_schema;
mod load;
mod locate;
mod markdown;
mod merge;
pub mod merge_patch;
mod outline;
mod overlay;
mod render;
mod source;
mod span;
mod suggest;
mod value;
mod written;
mod yaml;

mod document;

mod consumers;
mod discovery;
mod listeners;
mod operation;
mod policies;
mod routes;
mod telemetry;
mod upstreams;

pub use codes::Code;
pub use consumers::{ApiKeyHash, Consumer, Sha256};
pub use decode::OneOrMany;
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Label, Severity, sort};
pub use discovery::{Consistency, Consul, ConsulTls, Discovery};
pub use document::{Document, VERSION};
pub use json_schema::json_schema;
pub use listeners::{Alpn, Certificate, Listener, ListenerLimits, Network, Tls, TlsVersion};
pub use load::{FILE_BYTES_MAX, FILES_MAX, Loaded, load, load_with};
pub use locate::{Located, locate};
pub use markdown::markdown;
pub use merge::{Merge, Setting};
pub use operation::{Admin, AdminRole, AdminToken, Metrics, Writes};
pub use outline::{MASK, Outline, View, Written, masked_files, outline};
pub use overlay::{FILES_ONLY, Overlay, OverlayText, Unreadable, parse_value};
pub use policies::{
    ApiKey, Backoff, Budget, CircuitBreaker, Fallback, FallbackOn, HeaderEdits, Jwt, JwtAlgorithm, LimitBy,
    OnFault, PluginUse, PolicyKeys, RateLimit, Retry, RetryError, Timeout, WINDOW_MAX,
};
pub use render::{Style, count, render};
pub use routes::{Condition, Expect, Rewrite, Route, RouteTest, TestIdentity, TestRequest, Weights};
pub use source::{FileSource, Listed, MemorySource};
pub use span::{At, Entry, FileId, Map, SourceFile, Sources, Span};
pub use suggest::nearest;
pub use telemetry::{AccessLog, LogFormat, Telemetry};
pub use upstreams::{Balance, Host, Protocol, Upstream};
pub use value::{
    ByteSize, FilePath, HeaderName, HostPattern, JwksSource, Method, Name, QueryName, Rate, Raw, Secret,
    SecretSource, ServiceRef, Share, Target, Url, parse_duration,
};
pub use written::{WrittenDocument, load_written, mask, unmask};
pub use yaml::to_yaml;
