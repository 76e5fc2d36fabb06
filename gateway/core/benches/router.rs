//! What a match costs with ten routes and with ten thousand over a thousand hosts, and what building them costs.

#![expect(clippy::unwrap_used, reason = "a benchmark on its own fixed input")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portcullis_core::router::{
    Conditions, HostPattern, MethodSet, PathPattern, PatternPool, RouteAsk, RouteSpec, Router,
};

const ROUTES_A_HOST: usize = 10;

fn specs(n_routes: usize) -> Vec<RouteSpec<usize>> {
    let mut pool = PatternPool::default();
    (0..n_routes)
        .map(|idx| {
            let path = match idx % ROUTES_A_HOST {
                0 => "/**".to_owned(),
                1 => "/api/orders/{id:uint}".to_owned(),
                2 => "/api/orders/{id:uuid}/items/{item}".to_owned(),
                kind => format!("/api/service-{kind}/**"),
            };
            RouteSpec {
                name: format!("route-{idx}").into(),
                hosts: vec![
                    HostPattern::parse(&format!("shop-{}.example.com", idx / ROUTES_A_HOST)).unwrap(),
                ],
                path: PathPattern::parse(&path, &mut pool).unwrap(),
                conditions: Conditions {
                    methods: Some(MethodSet::new([Method::GET, Method::POST])),
                    ..Conditions::default()
                },
                priority: 0,
                answers_preflight: false,
                value: idx,
            }
        })
        .collect()
}

fn router(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match");
    for n_routes in [10, 10_000] {
        let router = Router::build(specs(n_routes)).router;
        let n_hosts = n_routes / ROUTES_A_HOST;
        let asks: Vec<(String, &str)> = (0..n_hosts)
            .map(|idx| {
                // a stride that no cache line follows, so that ten thousand routes pay for their memory
                let host = format!("shop-{}.example.com", idx * 7919 % n_hosts);
                let paths = ["/api/orders/42", "/api/service-7/a/b", "/static/logo.svg"];
                (host, paths[idx % paths.len()])
            })
            .collect();
        let headers = HeaderMap::new();
        let mut idx = 0;
        group.bench_function(BenchmarkId::from_parameter(n_routes), |bencher| {
            bencher.iter(|| {
                idx = (idx + 1) % asks.len();
                let (host, path) = &asks[idx];
                let ask = RouteAsk {
                    listener: None,
                    host,
                    path,
                    method: &Method::GET,
                    headers: &headers,
                    query: None,
                };
                black_box(router.find(black_box(&ask)));
            });
        });
    }
    group.finish();
    criterion.bench_function("build/10000", |bencher| {
        bencher.iter_batched(|| specs(10_000), Router::build, BatchSize::LargeInput);
    });
}

criterion_group!(benches, router);
criterion_main!(benches);
