//! Durations as Go writes and reads them: `10s`, `1m30s`, `500ms`, `1.5h`.
//! It decides the text form only; which durations are allowed is decided by the caller.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in Go's text form (the grammar of Go's `time.ParseDuration`). Never negative; at most about 292 years,
/// the range of a Go duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(pub Duration);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    /// The text does not follow the grammar.
    #[error("invalid duration {0:?}")]
    Invalid(String),
    /// A number has no unit behind it.
    #[error("missing unit in duration {0:?}, for example 10s or 500ms")]
    MissingUnit(String),
    /// The unit is not one of ns, us, µs, ms, s, m, h.
    #[error("unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The unit that is not known.
        unit: String,
    },
    /// A negative duration.
    #[error("negative duration {0:?}")]
    Negative(String),
    /// More than a Go duration can hold.
    #[error("duration {0:?} is too long")]
    TooLong(String),
}

/// The largest Go duration, in nanoseconds.
const NANOS_MAX: u128 = i64::MAX as u128;

/// Longer texts are refused before they are read.
const TEXT_BYTES_MAX: usize = 64;

impl GoDuration {
    /// A whole number of seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A whole number of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl FromStr for GoDuration {
    type Err = GoDurationError;

    fn from_str(text: &str) -> Result<Self, GoDurationError> {
        let invalid = || GoDurationError::Invalid(text.chars().take(TEXT_BYTES_MAX).collect());
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid());
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        if unsigned == "0" {
            return Ok(Self::default());
        }
        if unsigned.is_empty() {
            return Err(invalid());
        }
        let mut rest = unsigned;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanos, after) = component(rest, text)?;
            total = total.saturating_add(nanos);
            rest = after;
        }
        if total > NANOS_MAX {
            return Err(GoDurationError::TooLong(text.to_owned()));
        }
        if negative && total > 0 {
            return Err(GoDurationError::Negative(text.to_owned()));
        }
        let nanos = u64::try_from(total).map_err(|_| GoDurationError::TooLong(text.to_owned()))?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

/// Reads one `number unit` pair from the front of `rest`; returns its nanoseconds and what follows.
fn component<'t>(rest: &'t str, text: &str) -> Result<(u128, &'t str), GoDurationError> {
    let invalid = || GoDurationError::Invalid(text.to_owned());
    let (whole, rest) = split_while(rest, |c| c.is_ascii_digit());
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => split_while(after, |c| c.is_ascii_digit()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let (unit, rest) = split_while(rest, |c| c != '.' && !c.is_ascii_digit());
    let scale = match unit {
        "" => return Err(GoDurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        other => {
            return Err(GoDurationError::UnknownUnit { text: text.to_owned(), unit: other.to_owned() });
        }
    };
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let nanos = whole.saturating_mul(scale).saturating_add(fraction_nanos(fraction, scale));
    Ok((nanos, rest))
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// `0.fraction × scale`, rounded down. Digits beyond the eighteenth are below a nanosecond at every scale.
fn fraction_nanos(fraction: &str, scale: u128) -> u128 {
    let mut nanos: u128 = 0;
    let mut divisor: u128 = 1;
    for digit in fraction.bytes().take(18) {
        divisor *= 10;
        nanos = nanos * 10 + u128::from(digit.saturating_sub(b'0'));
    }
    nanos * scale / divisor
}

impl fmt::Display for GoDuration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return out.write_str("0s");
        }
        if nanos < 1_000 {
            return write!(out, "{nanos}ns");
        }
        if nanos < 1_000_000 {
            return write!(out, "{}µs", Decimal { nanos, scale: 1_000, digits: 3 });
        }
        if nanos < 1_000_000_000 {
            return write!(out, "{}ms", Decimal { nanos, scale: 1_000_000, digits: 6 });
        }
        let minutes = nanos / 60_000_000_000;
        let seconds = Decimal { nanos: nanos % 60_000_000_000, scale: 1_000_000_000, digits: 9 };
        match (minutes / 60, minutes % 60) {
            (0, 0) => write!(out, "{seconds}s"),
            (0, minutes) => write!(out, "{minutes}m{seconds}s"),
            (hours, minutes) => write!(out, "{hours}h{minutes}m{seconds}s"),
        }
    }
}

/// `nanos / scale` with its fraction and no trailing zeros.
struct Decimal {
    nanos: u128,
    scale: u128,
    digits: usize,
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.nanos / self.scale)?;
        let fraction = self.nanos % self.scale;
        if fraction == 0 {
            return Ok(());
        }
        let padded = format!("{fraction:0width$}", width = self.digits);
        write!(out, ".{}", padded.trim_end_matches('0'))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNanos {
    Nanos(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for GoDuration {
    /// A text in Go's form, or a bare number of nanoseconds, as Consul accepts both.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TextOrNanos::deserialize(deserializer)? {
            TextOrNanos::Nanos(nanos) => Ok(Self(Duration::from_nanos(nanos))),
            TextOrNanos::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// `null` and `""` read as "not said".
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GoDuration>, D::Error> {
    match Option::<TextOrNanos>::deserialize(deserializer)? {
        None => Ok(None),
        Some(TextOrNanos::Nanos(nanos)) => Ok(Some(GoDuration(Duration::from_nanos(nanos)))),
        Some(TextOrNanos::Text(text)) if text.is_empty() => Ok(None),
        Some(TextOrNanos::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, nanos: u64, shown: &str) {
        let parsed: GoDuration = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed.0, Duration::from_nanos(nanos), "{text}");
        assert_eq!(parsed.to_string(), shown, "{text}");
    }

    #[test]
    fn durations_are_read_and_shown_as_go_does() {
        check("10s", 10_000_000_000, "10s");
        check("1m30s", 90_000_000_000, "1m30s");
        check("500ms", 500_000_000, "500ms");
        check("1.5h", 5_400_000_000_000, "1h30m0s");
        check("90s", 90_000_000_000, "1m30s");
        check(".5s", 500_000_000, "500ms");
        check("1500ms", 1_500_000_000, "1.5s");
        check("0", 0, "0s");
        check("0s", 0, "0s");
        check("+1us", 1_000, "1µs");
        check("1µs", 1_000, "1µs");
        check("250ns", 250, "250ns");
        check("-0s", 0, "0s");
        check("72h3m0.5s", 259_380_500_000_000, "72h3m0.5s");
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_its_reason() {
        assert!(matches!("".parse::<GoDuration>(), Err(GoDurationError::Invalid(_))));
        assert!(matches!("10".parse::<GoDuration>(), Err(GoDurationError::MissingUnit(_))));
        assert!(matches!("10d".parse::<GoDuration>(), Err(GoDurationError::UnknownUnit { .. })));
        assert!(matches!("-1s".parse::<GoDuration>(), Err(GoDurationError::Negative(_))));
        assert!(matches!(".s".parse::<GoDuration>(), Err(GoDurationError::Invalid(_))));
        assert!(matches!("9999999999h".parse::<GoDuration>(), Err(GoDurationError::TooLong(_))));
        assert!(matches!("1".repeat(100).parse::<GoDuration>(), Err(GoDurationError::Invalid(_))));
    }

    proptest! {
        #[test]
        fn shown_and_read_again_is_the_same(nanos in 0u64..=i64::MAX as u64) {
            let duration = GoDuration(Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in ".{0,40}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
