//! What the kernel says about a process: CPU time in nanoseconds, resident memory, and time stolen from a CPU.

use std::collections::BTreeMap;
use std::fs;

/// CPU time of each thread of a process, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuTimes(BTreeMap<u32, u64>);

impl CpuTimes {
    /// Of the process `pid`: the first field of each thread's `schedstat`.
    pub(crate) fn of(pid: u32) -> Result<Self, String> {
        let folder = format!("/proc/{pid}/task");
        let tasks = fs::read_dir(&folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
        let mut times = BTreeMap::new();
        for task in tasks.flatten() {
            let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            if let Some(time) = first_number(&text) {
                times.insert(thread, time);
            }
        }
        if times.is_empty() {
            Err(format!("{folder} has no thread with a schedstat"))
        } else {
            Ok(Self(times))
        }
    }

    /// Time spent since `earlier`. Threads that ended in between drop out; the proxies' workers do not end.
    pub(crate) fn since(&self, earlier: &Self) -> u64 {
        self.0
            .iter()
            .map(|(thread, time)| time.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0)))
            .sum()
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// Resident memory of the process `pid` in bytes, from `smaps_rollup`.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    resident_of(&text).ok_or_else(|| format!("{path} has no line `Rss:`"))
}

fn resident_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    first_number(line).map(|kib| kib * 1024)
}

/// Ticks of one CPU so far: all of them, and those that the hypervisor took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Of CPU number `cpu`, from `/proc/stat`.
    pub(crate) fn of(cpu: usize) -> Result<Self, String> {
        let text =
            fs::read_to_string("/proc/stat").map_err(|error| format!("cannot read /proc/stat: {error}"))?;
        ticks_of(&text, cpu).ok_or_else(|| format!("/proc/stat has no line for CPU {cpu}"))
    }

    /// The share of the time since `earlier` that was stolen, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a few seconds")]
    pub(crate) fn stolen_since(&self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

/// Fields 1 to 8 of a CPU's line: user nice system idle iowait irq softirq steal (proc(5)).
fn ticks_of(text: &str, cpu: usize) -> Option<Ticks> {
    let prefix = format!("cpu{cpu} ");
    let line = text.lines().find_map(|line| line.strip_prefix(prefix.as_str()))?;
    let fields: Vec<u64> =
        line.split_ascii_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    Some(Ticks { all: fields.iter().sum(), stolen: *fields.get(7)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(first_number("123456 789 12\n"), Some(123_456));
        assert_eq!(resident_of("55d0-7ffd ---p\nRss:  1234 kB\nPss: 1 kB\n"), Some(1234 * 1024));
        let stat = "cpu  9 9\ncpu0 10 0 5 80 0 0 0 5 0 0\ncpu10 1 1 1 1 1 1 1 1\n";
        let ticks = ticks_of(stat, 0).unwrap();
        assert_eq!(ticks, Ticks { all: 100, stolen: 5 });
        assert!((ticks.stolen_since(Ticks { all: 0, stolen: 0 }) - 0.05).abs() < 1e-9);
        assert_eq!(ticks_of(stat, 1), None);
    }

    #[test]
    fn this_process_has_spent_time_and_memory() {
        let times = CpuTimes::of(std::process::id()).unwrap();
        assert!(times.since(&CpuTimes::default()) > 0);
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
