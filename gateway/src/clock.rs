//! The only reader of the clock.
//!
//! Everything else takes a [`Moment`] or a [`WallTime`]; tests and the decisions in
//! `portcullis-core` choose their own.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_core::units::{Moment, WallTime};

static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic time since the first call in this process.
#[must_use]
pub fn now() -> Moment {
    let now = instant();
    let origin = *ORIGIN.get_or_init(|| now);
    let since = now.saturating_duration_since(origin);
    Moment::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The monotonic clock itself, for tokio timers that want an `Instant`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one lawful reader of the monotonic clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Wall time in whole seconds; a clock before 1970 reads as zero, so no token is valid by accident.
#[must_use]
pub fn wall() -> WallTime {
    WallTime(since_epoch().as_secs())
}

/// Wall time since 1970-01-01T00:00:00Z; zero if the clock is set before it.
#[must_use]
pub fn since_epoch() -> Duration {
    system_time().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

/// The wall clock itself.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one lawful reader of the wall clock")]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// `since_epoch` as an RFC 3339 timestamp in UTC with milliseconds, e.g. `2026-01-31T09:05:00.042Z`.
///
/// The calendar arithmetic is Howard Hinnant's `civil_from_days`
/// ("chrono-Compatible Low-Level Date Algorithms").
#[must_use]
pub fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
        since_epoch.subsec_millis()
    )
}

/// Days since 1970-01-01 as year, month and day of the proleptic Gregorian calendar.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_right_at_the_edges_of_the_calendar() {
        let at = |seconds| rfc3339(Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(at(4_102_444_800), "2100-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Duration::from_millis(1_785_542_700_042)), "2026-08-01T00:05:00.042Z");
    }

    #[test]
    fn the_monotonic_clock_never_runs_backwards() {
        let (a, b) = (now(), now());
        assert!(a <= b);
    }
}
