//! The blocks: every entry in random order, each a window of steady load in which its CPU time is read.

use std::time::Duration;

use portcullis_loadtest::origin::fixed_body;
use portcullis_loadtest::{BodyExpect, Expect, Load, Plan, Variant};

use crate::children::{Running, now};
use crate::procfs::{CpuTimes, Ticks};
use crate::statistics::{Chance, Estimate, estimate};

/// Connections that the load is spread over.
const CONNECTIONS: usize = 32;
/// Load before each window that is not measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// The same for a process that has just started: long enough to meet each of the requests.
const FIRST_WARM_UP: Duration = Duration::from_secs(3);
/// Pause after each window.
const GAP: Duration = Duration::from_millis(300);
/// A block in which more than this share of the proxies' CPU was stolen is dropped. Fixed beforehand.
const STOLEN_MAX: f64 = 0.03;

/// One window of one entry.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) block: usize,
    pub(crate) entry: String,
    pub(crate) requests: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) seconds: f64,
    /// Share of the proxies' CPU that was stolen, 0 to 1.
    pub(crate) stolen: f64,
    /// Share of its own CPU that the driver used, 0 to 1.
    pub(crate) driver_busy: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) failed: u64,
}

impl Window {
    /// CPU time of one request, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    pub(crate) fn cpu_us_per_request(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.requests.max(1) as f64
    }
}

/// How the blocks are run.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) count: usize,
    pub(crate) window: Duration,
    pub(crate) rate_per_s: f64,
    pub(crate) variants: Vec<Variant>,
    /// The CPU of the proxies.
    pub(crate) cpu: usize,
}

impl Blocks {
    /// Runs them all, on processes that `start` makes. Ends with an error as soon as an answer is wrong: who answers
    /// wrongly is not fast.
    pub(crate) async fn run(
        &self,
        start: impl AsyncFn() -> Result<Vec<Running>, String>,
        say: impl Fn(&str),
    ) -> Result<Vec<Window>, String> {
        let mut chance = Chance(u64::from(std::process::id()));
        let mut windows = Vec::new();
        for block in 0..self.count {
            // Anew: where a process's memory happens to lie changes its cost by some per cent for its whole life.
            let entries = start().await?;
            for entry in &entries {
                entry.pause()?;
            }
            for entry in &entries {
                self.window(block, entry, FIRST_WARM_UP, Duration::ZERO).await?;
            }
            let mut order: Vec<&Running> = entries.iter().collect();
            chance.shuffle(&mut order);
            let mut line = format!("block {} of {}:", block + 1, self.count);
            for entry in order {
                let window = self.window(block, entry, WARM_UP, self.window).await?;
                line.push_str(&format!(" {} {:.1}", entry.name, window.cpu_us_per_request()));
                windows.push(window);
                tokio::time::sleep(GAP).await;
            }
            say(&line);
            for entry in entries {
                entry.stop().await;
            }
        }
        Ok(windows)
    }

    /// Lets `entry` run, loads it and measures; the others are held still.
    async fn window(
        &self,
        block: usize,
        entry: &Running,
        warm_up: Duration,
        length: Duration,
    ) -> Result<Window, String> {
        entry.resume()?;
        let plan = Plan {
            rate_per_s: self.rate_per_s,
            connections_max: CONNECTIONS,
            variants: self.variants.clone(),
            expect: Expect {
                statuses: vec![http::StatusCode::OK],
                body: BodyExpect::Exactly(fixed_body(1024)),
            },
            ..Plan::new(&format!("http://{}/", entry.address))
        };
        let load = Load::start(plan).map_err(|error| error.to_string())?;
        tokio::time::sleep(warm_up).await;
        let own = std::process::id();
        let (cpu, driver, ticks) = (CpuTimes::of(entry.pid)?, CpuTimes::of(own)?, Ticks::of(self.cpu)?);
        let (before, begun) = (load.progress(), now());
        tokio::time::sleep(length).await;
        let (after, seconds) = (load.progress(), now().duration_since(begun).as_secs_f64());
        let cpu_ns = CpuTimes::of(entry.pid)?.since(&cpu);
        let driver_ns = CpuTimes::of(own)?.since(&driver);
        let stolen = Ticks::of(self.cpu)?.stolen_since(ticks);
        let report = load.stop().await;
        entry.pause()?;
        if !report.is_clean() {
            return Err(format!("{} answered wrongly:\n{}", entry.name, report.summary()));
        }
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds")]
        let driver_busy = driver_ns as f64 / 1e9 / seconds;
        Ok(Window {
            block,
            entry: entry.name.clone(),
            requests: after.ok - before.ok,
            cpu_ns,
            seconds,
            stolen,
            driver_busy,
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
            failed: report.failed,
        })
    }
}

/// The blocks that count: in none of their windows was too much stolen.
pub(crate) fn sound_blocks(windows: &[Window]) -> Vec<usize> {
    let mut blocks: Vec<usize> = windows.iter().map(|window| window.block).collect();
    blocks.dedup();
    blocks.retain(|block| windows.iter().all(|window| window.block != *block || window.stolen <= STOLEN_MAX));
    blocks
}

/// `entry` beside `base`: the median of the ratios within each block.
pub(crate) fn ratio(windows: &[Window], blocks: &[usize], entry: &str, base: &str) -> Option<Estimate> {
    let cost = |block: usize, name: &str| {
        let window = windows.iter().find(|window| window.block == block && window.entry == name)?;
        (window.requests > 0).then(|| window.cpu_us_per_request())
    };
    let ratios: Vec<f64> =
        blocks.iter().filter_map(|block| Some(cost(*block, entry)? / cost(*block, base)?)).collect();
    estimate(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(block: usize, entry: &str, cpu_us: u64, stolen: f64) -> Window {
        let entry = entry.to_owned();
        let (requests, cpu_ns, seconds, driver_busy) = (1000, cpu_us * 1_000_000, 1.0, 0.5);
        Window {
            block,
            entry,
            requests,
            cpu_ns,
            seconds,
            stolen,
            driver_busy,
            p50_us: 1,
            p99_us: 1,
            failed: 0,
        }
    }

    #[test]
    fn ratios_are_formed_within_blocks_and_only_of_sound_ones() {
        let windows = [
            window(0, "bare", 40, 0.0),
            window(0, "ours", 44, 0.0),
            window(1, "ours", 88, 0.01),
            window(1, "bare", 80, 0.0),
            window(2, "bare", 40, 0.0),
            window(2, "ours", 400, 0.2),
        ];
        let blocks = sound_blocks(&windows);
        assert_eq!(blocks, [0, 1]);
        let found = ratio(&windows, &blocks, "ours", "bare").unwrap();
        assert!((found.median - 1.1).abs() < 1e-9 && (found.high - 1.1).abs() < 1e-9, "{found:?}");
    }
}
