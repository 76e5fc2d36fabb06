//! The header names of the Consul HTTP API.
//! Only names: what an index or a token means is decided by who reads it.

use http::HeaderName;

/// Answer: the index to send as `?index=` in the next blocking query. A positive integer.
pub const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
/// Request: the ACL token. Also accepted by Consul as `Authorization: Bearer`.
pub const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
/// Answer: `true` when the answering server knows a leader.
pub const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
/// Answer: milliseconds since the answering server last heard from the leader.
pub const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");
/// Answer: the consistency the answer really has: `leader`, `consistent` or `stale`.
pub const EFFECTIVE_CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");
/// Answer: which back end served a cached read, for example `streaming` or `blocking-query`.
pub const QUERY_BACKEND: HeaderName = HeaderName::from_static("x-consul-query-backend");
/// Answer: `true` when an ACL has removed entries from the answer.
pub const RESULTS_FILTERED_BY_ACLS: HeaderName = HeaderName::from_static("x-consul-results-filtered-by-acls");
/// Answer: how the default ACL policy is set: `allow` or `deny`.
pub const DEFAULT_ACL_POLICY: HeaderName = HeaderName::from_static("x-consul-default-acl-policy");
/// Answer: why a request was refused, where Consul has more to say than the body.
pub const REASON: HeaderName = HeaderName::from_static("x-consul-reason");
/// Answer: `HIT` or `MISS`, present only when the agent's cache answered.
pub const CACHE: HeaderName = HeaderName::from_static("x-cache");
/// Answer of the embedded registry only: says that it is not a Consul agent.
pub const PORTCULLIS_REGISTRY: HeaderName = HeaderName::from_static("x-portcullis-registry");
