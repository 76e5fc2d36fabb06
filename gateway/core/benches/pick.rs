//! The cost of one pick, and of taking over a set, by the number of endpoints.
//!
//! A pick must cost about the same for ten endpoints and ten thousand; what it grows by is the
//! cache misses of a larger table. `cargo bench -p portcullis-core --bench pick`.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use portcullis_core::balancer::Balance;
use portcullis_core::breaker::BreakerSettings;
use portcullis_core::units::Moment;
use portcullis_core::upstream::{Ask, BreakerIdx, CellSettings, UpstreamCell, Verdict};
use portcullis_discovery_model::{Endpoint, EndpointSet, Freshness};

const SIZES: [u32; 3] = [10, 100, 10_000];

/// Endpoints whose weights go from 1 to `weights`.
fn endpoints(n_endpoints: u32, weights: u16) -> EndpointSet {
    let address = |n: u32| SocketAddr::from((Ipv4Addr::from_bits(0x0A00_0000 + n), 8080));
    let weight = |n: u32| NonZeroU16::new((n % u32::from(weights)) as u16 + 1).unwrap_or(NonZeroU16::MIN);
    (0..n_endpoints).map(|n| Endpoint { weight: weight(n), ..Endpoint::at(address(n)) }).collect()
}

fn cell(balance: Balance, n_endpoints: u32) -> UpstreamCell {
    let breaker = BreakerSettings {
        failure_rate: Some(0.5),
        window: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN),
        consecutive: None,
        open: Duration::from_secs(10),
        probes: NonZeroU32::MIN,
    };
    let cell = UpstreamCell::new(CellSettings { balance, max_requests: None, breakers: vec![breaker] });
    cell.replace(&endpoints(n_endpoints, 5), Freshness::Live);
    cell
}

fn chance() -> impl FnMut() -> u64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (state ^ (state >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }
}

fn picks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_millis(700));
    for balance in [Balance::RoundRobin, Balance::LeastRequest] {
        for (name, breaker) in [("plain", None), ("breaker", Some(BreakerIdx(0)))] {
            for n_endpoints in SIZES {
                let (cell, mut rng) = (cell(balance, n_endpoints), chance());
                let id = BenchmarkId::new(format!("{}/{name}", balance.as_str()), n_endpoints);
                group.bench_function(id, |bencher| {
                    bencher.iter(|| {
                        let ask = Ask { now: Moment::ORIGIN, breaker, tried: &[] };
                        if let Ok(lease) = cell.pick(black_box(&ask), &mut rng) {
                            lease.finish(Verdict::Success, Moment::ORIGIN);
                        }
                    });
                });
            }
        }
    }
    group.finish();
}

fn replaces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replace");
    group
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
        .sample_size(10);
    for n_endpoints in SIZES {
        for (name, weights) in [("even", 1), ("uneven", 5), ("rugged", 60_000)] {
            let whole = endpoints(n_endpoints, weights);
            let without_one: EndpointSet = whole.iter().skip(1).cloned().collect();
            let cell = cell(Balance::RoundRobin, n_endpoints);
            group.bench_function(BenchmarkId::new(name, n_endpoints), |bencher| {
                bencher.iter(|| {
                    cell.replace(black_box(&without_one), Freshness::Live);
                    cell.replace(black_box(&whole), Freshness::Live);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, picks, replaces);
criterion_main!(benches);
