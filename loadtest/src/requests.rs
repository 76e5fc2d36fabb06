//! The requests of a plan, prepared once so that sending one is a copy.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use http_body_util::Full;

use crate::plan::{Plan, Protocol, RequestIds};
use crate::target::Target;

/// A request ready for the wire.
pub(crate) type Prepared = Request<Full<Bytes>>;

/// Everything needed to make request number N.
#[derive(Debug)]
pub(crate) struct Requests {
    method: Method,
    body: Bytes,
    version: Version,
    kinds: Vec<(Uri, HeaderMap)>,
    ids: Option<RequestIds>,
    /// Tells this load's ids from another's.
    prefix: String,
}

impl Requests {
    pub(crate) fn of(plan: &Plan, target: &Target, prefix: String) -> Self {
        let kind = |path_and_query: &PathAndQuery, own: &HeaderMap| {
            let mut headers = plan.headers.clone();
            for (name, value) in own {
                headers.insert(name, value.clone());
            }
            (uri_of(plan.protocol, target, path_and_query, &headers), finish(headers, plan.protocol, target))
        };
        let mut kinds: Vec<_> = plan
            .variants
            .iter()
            .map(|variant| {
                kind(variant.path_and_query.as_ref().unwrap_or(&target.path_and_query), &variant.headers)
            })
            .collect();
        if kinds.is_empty() {
            kinds.push(kind(&target.path_and_query, &HeaderMap::new()));
        }
        let version = match plan.protocol {
            Protocol::Http1 => Version::HTTP_11,
            Protocol::H2c => Version::HTTP_2,
        };
        let (method, body, ids) = (plan.method.clone(), plan.body.clone(), plan.request_ids.clone());
        Self { method, body, version, kinds, ids, prefix }
    }

    /// Request number `index`, and the header and id that must come back, if any.
    pub(crate) fn make(&self, index: u64) -> (Prepared, Option<(&HeaderName, HeaderValue)>) {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.version_mut() = self.version;
        let turn = usize::try_from(index).unwrap_or(0) % self.kinds.len().max(1);
        if let Some((uri, headers)) = self.kinds.get(turn) {
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
        }
        let mut echo = None;
        if let Some(ids) = &self.ids
            && let Ok(id) = HeaderValue::try_from(format!("{}-{index:x}", self.prefix))
        {
            request.headers_mut().insert(&ids.header, id.clone());
            echo = ids.echo.then_some((&ids.header, id));
        }
        (request, echo)
    }
}

/// HTTP/1.1 sends a path, HTTP/2 also the authority, which stands in for `Host`.
fn uri_of(protocol: Protocol, target: &Target, path_and_query: &PathAndQuery, headers: &HeaderMap) -> Uri {
    match protocol {
        Protocol::Http1 => Uri::from(path_and_query.clone()),
        Protocol::H2c => {
            let named = headers
                .get(header::HOST)
                .map_or(target.authority.as_str(), |host| host.to_str().unwrap_or(""));
            let built =
                Uri::builder().scheme("http").authority(named).path_and_query(path_and_query.clone()).build();
            built.unwrap_or_else(|_| Uri::from(path_and_query.clone()))
        }
    }
}

fn finish(mut headers: HeaderMap, protocol: Protocol, target: &Target) -> HeaderMap {
    match protocol {
        Protocol::H2c => {
            headers.remove(header::HOST);
        }
        Protocol::Http1 if !headers.contains_key(header::HOST) => {
            // An authority consists of characters that a header value may have.
            if let Ok(host) = HeaderValue::from_str(target.authority.as_str()) {
                headers.insert(header::HOST, host);
            }
        }
        Protocol::Http1 => {}
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Variant;

    fn requests(plan: &Plan) -> Requests {
        Requests::of(plan, &Target::parse(&plan.url).unwrap(), "t".to_owned())
    }

    #[test]
    fn variants_are_taken_in_turn_and_win_over_the_plan() {
        let mut plan = Plan::new("http://127.0.0.1:1/x");
        plan.headers.insert("a", HeaderValue::from_static("plan"));
        let mut own = HeaderMap::new();
        own.insert("a", HeaderValue::from_static("own"));
        own.insert(header::HOST, HeaderValue::from_static("shop.example"));
        plan.variants = vec![
            Variant::default(),
            Variant { path_and_query: Some(PathAndQuery::from_static("/y")), headers: own },
        ];
        let requests = requests(&plan);
        let (first, _) = requests.make(0);
        let (second, _) = requests.make(1);
        assert_eq!((first.uri().path(), &first.headers()["a"], &first.headers()["host"]).0, "/x");
        assert_eq!(first.headers()["host"], "127.0.0.1:1");
        assert_eq!((second.uri().path(), second.headers()["a"].to_str().unwrap()), ("/y", "own"));
        assert_eq!(second.headers()["host"], "shop.example");
        assert_eq!(requests.make(2).0.uri().path(), "/x");
    }

    #[test]
    fn every_request_has_an_id_of_its_own() {
        let mut plan = Plan::new("http://127.0.0.1:1/x");
        let header = HeaderName::from_static("x-request-id");
        plan.request_ids = Some(RequestIds { header, echo: true });
        let requests = requests(&plan);
        let ((one, echo), (two, _)) = (requests.make(1), requests.make(2));
        assert_ne!(one.headers()["x-request-id"], two.headers()["x-request-id"]);
        assert_eq!(echo.unwrap().1, one.headers()["x-request-id"]);
    }
}
