use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// A route by its text: `name | hosts | path | methods | priority`, the last three optional.
fn spec(line: &str, pool: &mut PatternPool) -> RouteSpec<String> {
    let mut parts = line.split('|').map(str::trim);
    let mut next = || parts.next().unwrap_or_default();
    let (name, hosts, path, methods, priority) = (next(), next(), next(), next(), next());
    let methods: Vec<Method> =
        methods.split_whitespace().map(|method| Method::from_bytes(method.as_bytes()).unwrap()).collect();
    RouteSpec {
        name: name.into(),
        hosts: hosts.split_whitespace().map(|host| HostPattern::parse(host).unwrap()).collect(),
        path: PathPattern::parse(path, pool).unwrap(),
        conditions: Conditions {
            methods: (!methods.is_empty()).then(|| MethodSet::new(methods)),
            ..Conditions::default()
        },
        priority: priority.parse().unwrap_or(0),
        answers_preflight: false,
        value: name.to_owned(),
    }
}

fn build(lines: &[&str]) -> Built<String> {
    let mut pool = PatternPool::default();
    Router::build(lines.iter().map(|line| spec(line, &mut pool)).collect())
}

/// The answer to `METHOD host/path?query` as text: `route p1 p2`, `405 GET,HEAD` or `404`.
fn answer(router: &Router<String>, request: &str, headers: &HeaderMap) -> String {
    let (method, url) = request.split_once(' ').unwrap();
    let (host, rest) = url.split_at(url.find('/').unwrap());
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match router.find(&RouteAsk { listener: None, host, path, method: &method, headers, query }) {
        Found::Route { route, params, .. } => {
            let values = (0..params.len()).filter_map(|idx| params.get(path, idx));
            std::iter::once(route.as_str()).chain(values).collect::<Vec<_>>().join(" ")
        }
        Found::MethodNotAllowed { allow } => {
            let allow: Vec<&str> = allow.iter().map(Method::as_str).collect();
            format!("405 {}", allow.join(","))
        }
        Found::NoRoute => "404".to_owned(),
    }
}

fn check(lines: &[&str], cases: &[(&str, &str)]) {
    let built = build(lines);
    assert_eq!(built.conflicts, [], "{lines:?}");
    for (request, expected) in cases {
        assert_eq!(answer(&built.router, request, &HeaderMap::new()), *expected, "{request}");
    }
}

#[test]
fn an_exact_host_beats_a_wildcard_and_the_longest_wildcard_beats_the_others() {
    check(
        &[
            "any | | /**",
            "all | *.example.com | /**",
            "eu | *.eu.example.com | /**",
            "shop | shop.eu.example.com | /**",
        ],
        &[
            ("GET shop.eu.example.com/", "shop"),
            ("GET a.eu.example.com/", "eu"),
            ("GET a.b.eu.example.com/", "eu"),
            ("GET eu.example.com/", "all"),
            ("GET example.com/", "any"),
            ("GET other/", "any"),
            ("GET /", "any"),
        ],
    );
}

#[test]
fn a_host_whose_routes_do_not_match_falls_back_to_the_less_specific_one() {
    check(
        &["shop | shop.test | /orders | POST", "below | *.test | /users", "any | | /health"],
        &[
            ("GET shop.test/users", "below"),
            ("GET shop.test/health", "any"),
            ("GET shop.test/orders", "405 POST"),
            ("GET shop.test/none", "404"),
        ],
    );
}

#[test]
fn a_literal_beats_a_typed_parameter_beats_a_parameter_beats_the_rest() {
    check(
        &[
            "new | | /o/new",
            "number | | /o/{id:uint}",
            "id | | /o/{id:uuid}",
            "code | | /o/{code:regex([a-z]{2}-[0-9]+)}",
            "name | | /o/{name}",
            "rest | | /o/**",
        ],
        &[
            ("GET h/o/new", "new"),
            ("GET h/o/42", "number 42"),
            ("GET h/o/99999999999999999999", "name 99999999999999999999"),
            ("GET h/o/123e4567-e89b-12d3-a456-426614174000", "id 123e4567-e89b-12d3-a456-426614174000"),
            ("GET h/o/de-7", "code de-7"),
            ("GET h/o/xde-7x", "name xde-7x"),
            ("GET h/o/a/b", "rest"),
            ("GET h/o/", "rest"),
            ("GET h/o", "rest"),
            ("GET h/other", "404"),
        ],
    );
}

/// These two share their hash, and by that their mark (a known collision of FNV-1a in 32 bits).
#[test]
fn literals_that_share_a_mark_are_told_apart() {
    check(
        &["one | | /costarring/a", "other | | /liquid/a"],
        &[("GET h/costarring/a", "one"), ("GET h/liquid/a", "other")],
    );
    check(&["one | | /costarring"], &[("GET h/liquid", "404")]);
}

#[test]
fn literals_that_nothing_parts_are_met_whole_or_not_at_all() {
    check(
        &[
            "a | | /api/v1/orders",
            "b | | /api/v1/orders/{id}/lines/all/",
            "c | | /{shop}/open/hours",
            "d | h2 | /x/y/**",
        ],
        &[
            ("GET h/api/v1/orders", "a"),
            ("GET h/api/v1/order", "404"),
            ("GET h/api/v1/orders2", "404"),
            ("GET h/api/v1/orders/", "404"),
            ("GET h/api/v1", "404"),
            ("GET h/api/v1/orders/7/lines/all/", "b 7"),
            ("GET h/api/v1/orders/7/lines/all", "404"),
            ("GET h/api/v1/orders/7/lines/all/x", "404"),
            ("GET h/api/open/hours", "c api"),
            ("GET h/api/open", "404"),
            ("GET h2/x/y", "d"),
            ("GET h2/x/y/z", "d"),
            ("GET h2/x/yz", "404"),
            ("GET h2/api/v1/orders", "a"),
        ],
    );
}

#[test]
fn a_branch_that_leads_nowhere_is_left_again_with_its_parameters() {
    check(
        &["deep | | /{a}/x/{b}/end", "rest | | /one/**", "mid | | /{a}/{b}/c", "lone | | /one/x/{b}/stop"],
        &[
            ("GET h/one/x/2/end", "rest"),
            ("GET h/one/x/2/stop", "lone 2"),
            ("GET h/two/x/3/end", "deep two 3"),
            ("GET h/two/x/c", "mid two x"),
            ("GET h/two/x/d", "404"),
        ],
    );
}

#[test]
fn a_prefix_never_ends_inside_a_segment() {
    check(
        &["api | | /api/**"],
        &[
            ("GET h/api", "api"),
            ("GET h/api/", "api"),
            ("GET h/api/x", "api"),
            ("GET h/api../admin", "404"),
            ("GET h/apix", "404"),
            ("GET h/", "404"),
        ],
    );
}

#[test]
fn a_path_is_exact_and_a_trailing_slash_is_a_difference() {
    check(
        &["bare | | /a", "slash | | /b/", "root | | /"],
        &[
            ("GET h/a", "bare"),
            ("GET h/a/", "404"),
            ("GET h/b/", "slash"),
            ("GET h/b", "404"),
            ("GET h/", "root"),
        ],
    );
}

#[test]
fn an_optional_parameter_may_be_absent_and_yields_to_what_is_exact() {
    check(
        &["orders | | /o/{id?:uint}", "list | x.test | /o", "list2 | x.test | /o/{id?}", "home | | /{page?}"],
        &[
            ("GET h/o", "orders"),
            ("GET h/o/7", "orders 7"),
            ("GET h/o/x", "404"),
            ("GET h/o/", "404"),
            ("GET x.test/o", "list"),
            ("GET x.test/o/q", "list2 q"),
            ("GET h/", "home"),
            ("GET h/about", "home about"),
        ],
    );
}

#[test]
fn a_route_that_takes_get_takes_head_and_405_names_the_union() {
    check(
        &["read | | /o | GET", "write | | /o | POST PUT", "all | | /o/x", "del | | /{a} | DELETE"],
        &[
            ("HEAD h/o", "read"),
            ("PUT h/o", "write"),
            ("DELETE h/o", "del o"),
            ("PATCH h/o", "405 DELETE,GET,HEAD,POST,PUT"),
            ("PATCH h/o/x", "all"),
        ],
    );
}

#[test]
fn a_method_that_does_not_fit_falls_through_to_a_less_specific_path() {
    check(&["post | | /a/b | POST", "rest | | /a/**"], &[("GET h/a/b", "rest"), ("POST h/a/b", "post")]);
}

#[test]
fn more_conditions_win_and_then_priority() {
    check(
        &[
            "plain | | /a",
            "get | | /a | GET",
            "urgent | | /b | | 5",
            "low | | /b | GET | -1",
            "lower | | /b | | 1",
        ][..4],
        &[("GET h/a", "get"), ("POST h/a", "plain"), ("GET h/b", "low"), ("POST h/b", "urgent")],
    );
}

#[test]
fn literals_are_matched_in_normal_form() {
    check(
        &["cafe | | /café", "space | | /a%20b", "dot | | /%61%2Dz", "escaped | | /x%3ay"],
        &[
            ("GET h/caf%C3%A9", "cafe"),
            ("GET h/a%20b", "space"),
            ("GET h/a-z", "dot"),
            ("GET h/x%3Ay", "escaped"),
        ],
    );
}

#[test]
fn ties_and_routes_that_never_win_are_found() {
    let check = |lines: &[&str], expected: &[Conflict]| {
        assert_eq!(build(lines).conflicts, expected, "{lines:?}");
    };
    check(&["a | | /x/{id}", "b | | /x/{name}"], &[Conflict::Tie { first: 0, second: 1 }]);
    check(&["a | | /x | GET", "b | | /x | HEAD POST"], &[Conflict::Tie { first: 0, second: 1 }]);
    check(&["a | | /x | GET", "b | | /x | POST"], &[]);
    check(&["a | h.test | /x", "b | | /x"], &[]);
    check(&["a | h.test g.test | /x", "b | g.test | /x"], &[Conflict::Tie { first: 0, second: 1 }]);
    check(&["a | | /x | | 1", "b | | /x"], &[Conflict::Unreachable { route: 1, hidden_by: 0 }]);
    check(&["a | | /x | GET | 1", "b | | /x | GET POST"], &[]);
    check(
        &["a | | /x | GET | 1", "b | | /x | GET POST", "c | | /x | POST | 2"],
        &[Conflict::Unreachable { route: 1, hidden_by: 2 }],
    );
    check(&["a | h.test | /x | | 1", "b | h.test g.test | /x"], &[]);
    check(
        &["a | | /x", "b | | /x/{id}", "c | | /x/{id?}"],
        &[Conflict::Unreachable { route: 2, hidden_by: 0 }],
    );
}

/// One route of each kind of header and query condition.
fn conditional() -> Router<String> {
    let mut pool = PatternPool::default();
    let mut with = |line: &str, headers: &[(&'static str, ValueTest)], query: &[(&str, ValueTest)]| {
        let mut spec = spec(line, &mut pool);
        spec.conditions.headers = headers
            .iter()
            .map(|(name, test)| HeaderCondition {
                name: http::HeaderName::from_static(name),
                test: test.clone(),
            })
            .collect();
        spec.conditions.query = query
            .iter()
            .map(|(name, test)| QueryCondition { name: (*name).into(), test: test.clone() })
            .collect();
        spec
    };
    let regex = |text| ValueTest::Regex(Arc::new(regex::bytes::Regex::new(text).unwrap()));
    let specs = vec![
        with("beta | | /a", &[("x-track", ValueTest::Exact("beta".into()))], &[]),
        with("debug | | /a", &[], &[("debug mode", ValueTest::Present)]),
        with("both | | /a", &[("x-track", ValueTest::Present)], &[("v", ValueTest::Exact("2".into()))]),
        with("bytes | | /b", &[("x-raw", regex("(?-u)\\x80"))], &[]),
        with("anon | | /c", &[("authorization", ValueTest::Absent)], &[]),
        with("plain | | /a", &[], &[]),
    ];
    Router::build(specs).router
}

#[test]
fn header_and_query_conditions_are_compared_on_what_was_meant() {
    let router = conditional();
    let check = |request: &str, headers: &[(&'static str, &[u8])], expected: &str| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(answer(&router, request, &map), expected, "{request} {headers:?}");
    };
    check("GET h/a", &[], "plain");
    check("GET h/a", &[("x-track", b"stable"), ("x-track", b"beta")], "beta");
    check("GET h/a", &[("x-track", b"betas")], "plain");
    check("GET h/a?debug+mode", &[], "debug");
    check("GET h/a?x=1&debug%20mode=", &[], "debug");
    check("GET h/a?v=%32", &[("x-track", b"beta")], "both");
    check("GET h/b", &[("x-raw", b"a\x80b")], "bytes");
    check("GET h/b", &[("x-raw", b"ab")], "404");
    check("GET h/c", &[], "anon");
    check("GET h/c", &[("authorization", b"")], "404");
}

#[test]
fn a_preflight_belongs_to_the_route_it_asks_for() {
    let mut pool = PatternPool::default();
    let mut cors = spec("cors | | /a | PUT", &mut pool);
    cors.answers_preflight = true;
    let router = Router::build(vec![cors, spec("other | | /b | PUT", &mut pool)]).router;
    let mut headers = HeaderMap::new();
    assert_eq!(answer(&router, "OPTIONS h/a", &headers), "405 PUT");
    headers.insert("origin", HeaderValue::from_static("https://shop.test"));
    headers.insert("access-control-request-method", HeaderValue::from_static("PUT"));
    assert_eq!(answer(&router, "OPTIONS h/a", &headers), "cors");
    assert_eq!(answer(&router, "OPTIONS h/b", &headers), "405 PUT");
    headers.insert("access-control-request-method", HeaderValue::from_static("DELETE"));
    assert_eq!(answer(&router, "OPTIONS h/a", &headers), "405 PUT");
}

#[test]
fn an_explanation_says_of_each_route_why_it_lost() {
    let built = build(&[
        "host | a.test | /x",
        "path | | /x/y",
        "method | | /x | POST",
        "won | | /x | GET",
        "rest | | /**",
    ]);
    let ask = RouteAsk {
        listener: None,
        host: "h",
        path: "/x",
        method: &Method::GET,
        headers: &HeaderMap::new(),
        query: None,
    };
    let lost: Vec<Option<String>> = built
        .router
        .explain(&ask)
        .into_iter()
        .map(|verdict| verdict.lost.map(|why| why.to_string()))
        .collect();
    let expected = [
        Some("another host"),
        Some("the path differs at segment 2"),
        Some("another method"),
        None,
        Some("matches, but `won` is more specific"),
    ];
    assert_eq!(lost, expected.map(|text| text.map(str::to_owned)));
}

#[test]
fn what_is_not_a_pattern_is_refused_with_the_reason() {
    let check = |text: &str, expected: BadPattern| {
        assert_eq!(PathPattern::parse(text, &mut PatternPool::default()), Err(expected), "{text}");
    };
    check("api", BadPattern::NoSlash);
    check("/a//b", BadPattern::EmptySegment);
    check("/a/../b", BadPattern::DotSegment);
    check("/a/%2e%2E", BadPattern::DotSegment);
    check("/a/**/b", BadPattern::Star);
    check("/a/*", BadPattern::Star);
    check("/a/x{id}", BadPattern::Braces);
    check("/a/{id", BadPattern::Braces);
    check("/a/{}", BadPattern::Name);
    check("/{a}/{a}", BadPattern::Duplicate("a".into()));
    check("/{a:int}", BadPattern::Kind("int".to_owned()));
    check("/{a?}/b", BadPattern::OptionalNotLast);
    check("/{a?}/**", BadPattern::OptionalNotLast);
    check("/a b", BadPattern::Character(' '));
    check("/a?b=1", BadPattern::Character('?'));
    check("/a%2fb", BadPattern::Escape("%2f".to_owned()));
    check("/a%zz", BadPattern::Escape("%zz".to_owned()));
    assert!(matches!(
        PathPattern::parse("/{a:regex(x)|(y)}", &mut PatternPool::default()),
        Err(BadPattern::Regex(_))
    ));
    assert!(matches!(
        PathPattern::parse("/{a:regex(\\w{500})}", &mut PatternPool::default()),
        Err(BadPattern::Regex(_))
    ));
}

#[test]
fn the_tail_begins_where_the_prefix_ends() {
    let pattern = |text| PathPattern::parse(text, &mut PatternPool::default()).unwrap();
    assert_eq!(pattern("/api/**").tail_start("/api/x/y"), Some(4));
    assert_eq!(pattern("/api/**").tail_start("/api"), Some(4));
    assert_eq!(pattern("/**").tail_start("/x"), Some(0));
}

/// Specificity written down a second time, as a sort key: smaller wins.
fn specificity(entry: &Entry, ask: &RouteAsk<'_>) -> (Vec<usize>, Vec<u8>, isize, i64, Arc<str>) {
    let best_host = entry.hosts.iter().filter(|host| host.matches(ask.host)).map(|host| match host {
        HostPattern::Exact(_) => 0,
        HostPattern::Below(suffix) => 1000 - suffix.len(),
    });
    let host = best_host.min().unwrap_or(2000);
    let n_asked = ask.path.split('/').count() - 1;
    let mut path: Vec<u8> = entry
        .path
        .segments()
        .iter()
        .take(n_asked)
        .map(|segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Param { kind: ParamKind::Uint, .. } => 1,
            Segment::Param { kind: ParamKind::Uuid, .. } => 2,
            Segment::Param { kind: ParamKind::Regex(_), .. } => 3,
            Segment::Param { kind: ParamKind::Any, .. } => 4,
        })
        .collect();
    if ask.path == "/" && entry.path.last_is_optional() {
        path = vec![0];
    }
    path.push(if entry.path.has_tail() { 9 } else { u8::from(entry.path.last_is_optional()) });
    let conditions = -isize::try_from(entry.matcher.conditions.count()).unwrap();
    (vec![host], path, conditions, -i64::from(entry.matcher.priority), Arc::clone(&entry.name))
}

fn any_route() -> impl Strategy<Value = (&'static str, Vec<&'static str>, &'static str, &'static str, i32)> {
    let host = prop::sample::select(vec!["", "a.t", "*.t", "*.b.t", "a.t *.t"]);
    let segment = prop::sample::select(vec!["a", "b", "1", "{p}", "{p:uint}", "{p:regex([ab])}"]);
    let end = prop::sample::select(vec!["", "", "**", "{q?}", "{q?:uint}"]);
    let methods = prop::sample::select(vec!["", "GET", "POST", "GET POST"]);
    (host, prop::collection::vec(segment, 0..3), end, methods, 0..2)
}

proptest! {
    #[test]
    fn the_index_finds_what_asking_each_route_would(
        routes in prop::collection::vec(any_route(), 1..12),
        host in prop::sample::select(vec!["a.t", "x.b.t", "b.t", "none"]),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "1", "z", ""]), 1..4),
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
    ) {
        let mut pool = PatternPool::default();
        let specs = routes.iter().enumerate().map(|(idx, (host, segments, end, methods, priority))| {
            let mut path = String::new();
            for (at, segment) in segments.iter().enumerate() {
                path.push('/');
                path.push_str(&segment.replace('p', &format!("p{at}")).replace(&format!("regexp{at}"), "regex"));
            }
            if !end.is_empty() || path.is_empty() {
                path.push('/');
                path.push_str(end);
            }
            let line = format!("r{idx:02} | {host} | {path} | {methods} | {priority}");
            spec(&line, &mut pool)
        }).collect();
        let router = Router::build(specs).router;
        let path = format!("/{}", path.join("/"));
        let headers = HeaderMap::new();
        let ask = RouteAsk { listener: None, host, path: &path, method: &method, headers: &headers, query: None };
        let expected = router.entries.iter().filter(|entry| {
            router.explain(&ask).iter().any(|verdict| verdict.route == entry.name
                && matches!(verdict.lost, None | Some(Mismatch::LessSpecific { .. })))
        }).min_by_key(|entry| specificity(entry, &ask)).map(|entry| entry.name.to_string());
        let found = match router.find(&ask) {
            Found::Route { route, .. } => Some(route.clone()),
            Found::MethodNotAllowed { .. } | Found::NoRoute => None,
        };
        prop_assert_eq!(found, expected);
    }
}
