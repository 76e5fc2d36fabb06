//! The settings a route may have, and that `defaults` and `policies` may set for many routes at once.

mod auth;
mod fallback;
mod headers;
mod limit;
mod plugin;
mod resilience;
mod timeout;

pub use auth::{ApiKey, Jwt, JwtAlgorithm};
pub use fallback::{Fallback, FallbackOn};
pub use headers::HeaderEdits;
pub use limit::{LimitBy, RateLimit};
pub use plugin::{OnFault, PluginUse};
pub use resilience::{Backoff, Budget, CircuitBreaker, Retry, RetryError, WINDOW_MAX};
pub use timeout::Timeout;

use crate::decode::{OneOrMany, keys};
use crate::merge::Setting;
use crate::span::At;
use crate::value::ByteSize;

keys! {
    /// A bundle of settings for routes.
    pub struct PolicyKeys is "a policy" {
        /// Only with a valid token.
        key jwt: Option<At<Setting<Jwt>>>,
        /// Only with the API key of a consumer.
        key api_key: Option<At<Setting<ApiKey>>>,
        /// How many requests in how much time. Short form: `100/s`.
        key rate_limit: Option<At<Setting<RateLimit>>>,
        /// Try again when an attempt failed and repeating is safe.
        key retry: Option<At<Setting<Retry>>>,
        /// Stop asking an upstream that keeps failing.
        key circuit_breaker: Option<At<Setting<CircuitBreaker>>>,
        /// What to answer when the upstream cannot. Several are tried in order; the first whose `on` fits answers.
        key fallback: Option<At<Setting<OneOrMany<Fallback>>>>,
        /// How long things may take. Short form, such as `10s`: the whole request.
        key timeout: Option<At<Timeout>>,
        /// Largest request body (default `2MiB`); `none` for no bound. More is answered with 413.
        key max_body: Option<At<Setting<ByteSize>>>,
        /// Changes to the headers that the upstream sees.
        key request_headers: Option<At<HeaderEdits>>,
        /// Changes to the headers that the client sees.
        key response_headers: Option<At<HeaderEdits>>,
        /// Plugins in the order they run, each a name or a map of its name to its settings.
        key plugins: Option<At<Vec<At<PluginUse>>>>,
    }
    later {
        "request_id": "request ids are always on",
        "cache": "the response cache comes later",
        "compression": "compression comes later",
        "ext_auth": "asking another service for permission comes later",
        "ip": "allowing and refusing addresses comes later",
        "mirror": "mirroring comes later",
    }
    instead {
        "cors": "`cors` is a plugin: `plugins: [ { cors: { … } } ]`",
        "headers": "`headers` is a plugin, or use `request_headers` and `response_headers`",
    }
}
