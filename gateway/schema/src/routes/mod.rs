//! `routes`: what goes where.

mod condition;
mod test;

pub use condition::Condition;
pub use test::{Expect, RouteTest, TestIdentity, TestRequest};

use std::collections::BTreeMap;

use crate::codes::Code;
use crate::decode::{Decoder, OneOrMany, keys};
use crate::policies::PolicyKeys;
use crate::span::{At, Entry, Map};
use crate::value::{HeaderName, HostPattern, Method, Name, QueryName, Target};
use crate::yaml::Node;

keys! {
    /// Which requests, and where they go. The most specific route wins; order never matters.
    pub struct Route is "a route" {
        /// Listeners it is served on, by name (default: all).
        key listeners: Option<Vec<At<Name>>>,
        /// Hosts, exact or with a leading wildcard: `*.example.com` (default: any).
        key host: Option<OneOrMany<At<HostPattern>>>,
        /// `/a` is exact; `{id}` is one segment; `{id:uint}`, `{id:uuid}`, `{id:regex(v[0-9]+)}` typed ones; `{id?}` optional at the
        /// end; `/a/**` everything below, and `/a` itself.
        required path: Option<At<String>>,
        /// Methods (default: any). A known path with another method is answered with 405 and `Allow`.
        key methods: Option<Vec<At<Method>>>,
        /// Only when all of these request headers hold: a value, or a map of `is`, `regex` or `present`.
        key headers: Map<HeaderName, At<Condition>>,
        /// Only when all of these query parameters hold: a value, or a map of `is`, `regex` or `present`.
        key query: Map<QueryName, At<Condition>>,
        /// Between two routes that are equally specific the higher wins (default `0`).
        key priority: Option<At<i32>>,
        /// Where requests go: an upstream's name, `consul://name` or `http://ip:port`. This or `weights` must be there.
        key to: Option<At<Target>>,
        /// Instead of `to`: several targets with their shares, such as `{ app: 95, canary: 5 }`.
        key weights: Option<At<Weights>>,
        /// Policies, laid over each other from left to right.
        key uses = "use": Option<Vec<At<Name>>>,
        /// Changes to the path that the upstream sees.
        key rewrite: Option<At<Rewrite>>,
        /// Settings of this route alone.
        flatten policy: PolicyKeys,
        /// Checked by `portcullis test` and before every reload, without a network.
        key tests: Option<Vec<At<RouteTest>>>,
    }
    later {
        "request_id": "request ids are always on",
        "when": "conditions in CEL come later; use `headers` and `query`",
        "mirror": "mirroring comes later",
        "split": "splitting by header comes later; use `weights`, or two routes with `headers`",
        "cache": "the response cache comes later",
        "compression": "compression comes later",
        "ext_auth": "asking another service for permission comes later",
        "ip": "allowing and refusing addresses comes later",
        "redirect": "redirects come later",
        "respond": "fixed answers come later; a `fallback` answers when the upstream cannot",
        "grpc": "gRPC passes through ordinary routes; settings of its own come later",
        "tcp": "TCP proxying comes later",
    }
    instead {
        "cors": "`cors` is a plugin: `plugins: [ { cors: { … } } ]`",
    }
    check check_route;
}

keys! {
    /// Changes to the path that the upstream sees.
    pub struct Rewrite is "a rewrite" {
        /// Take this away from the start of the path.
        key strip_prefix: Option<At<String>>,
        /// Put this in front of the path.
        key add_prefix: Option<At<String>>,
        /// Instead: replace the whole path; `{name}` stands for what the route's path matched there.
        key path: Option<At<String>>,
    }
    later {
        "regex": "rewriting by regex comes later; name the parts in the route's path",
        "host": "rewriting the host comes later",
        "query": "rewriting the query comes later",
    }
    check check_rewrite;
}

/// Several upstreams with their shares, relative to each other; at least one.
#[derive(Debug, Clone, Default)]
pub struct Weights(pub BTreeMap<Target, Entry<At<u32>>>);

fn check_route(route: &Route, node: &Node, decoder: &mut Decoder<'_>) {
    match (&route.to, &route.weights) {
        (Some(_), Some(weights)) => {
            let message = "a route has either `to` or `weights`".to_owned();
            decoder.error(Code::Exclusive, weights.at, message, "one or the other", None);
        }
        (None, None) if !decoder.sink.covers(node.at) => {
            let message = "a route needs the key `to`".to_owned();
            let help = Some("name an upstream, or a service directly: `to: consul://name`".to_owned());
            decoder.error(Code::MissingKey, node.named, message, "goes nowhere", help);
        }
        (Some(_), None) | (None, Some(_) | None) => {}
    }
    if let Some(path) = route.path.as_ref().filter(|path| !path.value.starts_with('/')) {
        let help = Some(format!("write `/{}`", path.value));
        decoder.error(Code::BadPath, path.at, "a path starts with `/`".to_owned(), "no `/`", help);
    }
}

fn check_rewrite(rewrite: &Rewrite, _: &Node, decoder: &mut Decoder<'_>) {
    if let (Some(path), true) =
        (&rewrite.path, rewrite.strip_prefix.is_some() || rewrite.add_prefix.is_some())
    {
        let message = "a rewrite has either `path` or a prefix".to_owned();
        let help = Some("`path` replaces the whole path; remove the prefixes".to_owned());
        decoder.error(Code::Exclusive, path.at, message, "one or the other", help);
    }
    for part in [&rewrite.strip_prefix, &rewrite.add_prefix, &rewrite.path].into_iter().flatten() {
        if !part.value.starts_with('/') {
            let help = Some(format!("write `/{}`", part.value));
            decoder.error(Code::BadPath, part.at, "a path starts with `/`".to_owned(), "no `/`", help);
        }
    }
}
