//! What the gateway holds when idle, and how soon it is ready. No load runs meanwhile.

use std::time::Duration;

use crate::gateway::Shape;
use crate::procfs::resident_bytes;
use crate::statistics::{median, slope};
use crate::table::Figure;
use crate::{Bench, PROXY_CPU, note};

/// Time after the first answer before memory is read, so that what start-up borrowed can be given back.
const SETTLE: Duration = Duration::from_secs(3);
/// Starts whose median is the time to ready.
const STARTS: usize = 5;
/// Sizes through which the line is drawn.
const SIZES: [usize; 3] = [1, 5_000, 10_000];

const MIB: f64 = 1024.0 * 1024.0;

/// Idle memory, memory per route and per endpoint, and time to ready with 10,000 routes.
pub(crate) async fn figures(bench: &Bench) -> Result<Vec<Figure>, String> {
    note("measuring memory and time to ready");
    let idle = resident(bench, &Shape::Plain).await?;
    let routes = line(bench, Shape::Routes).await?;
    let endpoints = line(bench, Shape::Endpoints).await?;
    let ready_ms = ready(bench).await?;
    let largest = routes.last().map_or(f64::NAN, |(_, bytes)| *bytes);
    let per = |points: &[(f64, f64)]| slope(points).unwrap_or(f64::NAN);
    Ok(vec![
        Figure::number("resident memory, idle, one route", idle / MIB, Some(40.0), "MiB"),
        Figure::number("resident memory, idle, 10,000 routes", largest / MIB, None, "MiB"),
        Figure::number("resident memory of one more route", per(&routes), Some(2048.0), "bytes"),
        Figure::number("resident memory of one more endpoint", per(&endpoints), Some(1024.0), "bytes"),
        Figure::number("time to the first answer, 10,000 routes", ready_ms, Some(300.0), "ms"),
    ])
}

async fn line(bench: &Bench, shape: fn(usize) -> Shape) -> Result<Vec<(f64, f64)>, String> {
    let mut points = Vec::new();
    for size in SIZES {
        let bytes = resident(bench, &shape(size)).await?;
        #[expect(clippy::cast_precision_loss, reason = "sizes of a few thousand")]
        points.push((size as f64, bytes));
    }
    Ok(points)
}

/// Resident bytes of a gateway that has answered once and then been left alone.
#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
async fn resident(bench: &Bench, shape: &Shape) -> Result<f64, String> {
    let (gateway, _) = bench.gateway("memory", shape, Some(PROXY_CPU)).await?;
    tokio::time::sleep(SETTLE).await;
    let bytes = resident_bytes(gateway.pid)?;
    gateway.stop().await;
    Ok(bytes as f64)
}

/// Median time from start to the first answer, in milliseconds, on the proxies' CPU alone.
async fn ready(bench: &Bench) -> Result<f64, String> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (gateway, time) = bench.gateway("ready", &Shape::Routes(10_000), Some(PROXY_CPU)).await?;
        times.push(time.as_secs_f64() * 1000.0);
        gateway.stop().await;
    }
    median(&times).ok_or_else(|| "the gateway was never started".to_owned())
}
