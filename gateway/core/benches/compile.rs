//! What it costs to compile ten thousand routes over a thousand hosts, once they are read.

#![expect(clippy::unwrap_used, reason = "a benchmark on its own fixed input")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_core::limit::LimitSeed;
use portcullis_core::snapshot::{Carried, compile};
use portcullis_plugin_sdk::Catalog;
use portcullis_schema::{MemorySource, load};

const N_ROUTES: usize = 10_000;

fn document() -> String {
    let mut text = String::from(
        "version: 1\nupstreams: { a: \"consul://a\", b: \"consul://b\" }\npolicies:\n  p: { rate_limit: 100/s, retry: { attempts: 2 }, circuit_breaker: { failure_rate: 50% } }\nroutes:\n",
    );
    for idx in 0..N_ROUTES {
        let (host, kind) = (idx / 10, idx % 10);
        let own = if kind == 0 { ", timeout: 3s" } else { "" };
        writeln!(
            text,
            "  r{idx}: {{ host: shop-{host}.example.com, path: \"/api/s{kind}/{{id:uint}}\", methods: [GET], use: [p], to: a{own} }}"
        )
        .unwrap();
    }
    text
}

fn compiling(criterion: &mut Criterion) {
    let source = MemorySource::new().with("gateway.yaml", document());
    let loaded = load(Path::new("gateway.yaml"), &source, &BTreeMap::new());
    let catalog = Catalog::new();
    let nothing = Carried::nothing(LimitSeed([1, 2]));
    let first = compile(&loaded, &catalog, &nothing).snapshot.unwrap();
    let mut group = criterion.benchmark_group("compile/10000");
    group.sample_size(10);
    group.bench_function("first", |bencher| bencher.iter(|| black_box(compile(&loaded, &catalog, &nothing))));
    group.bench_function("again", |bencher| {
        bencher.iter(|| black_box(compile(&loaded, &catalog, first.carried())));
    });
    group.finish();
}

criterion_group!(benches, compiling);
criterion_main!(benches);
