//! Quantities with units: durations, sizes, rates, shares.
//!
//! A bare number is never one of them; the error says which units there are.

use std::num::NonZeroU32;
use std::time::Duration;

/// Longest duration that may be written: one year.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// So many permits in so much time, such as `100/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, at least one.
    pub permits: NonZeroU32,
    /// In which time: one second, minute, hour or day.
    pub per: Duration,
}

/// A part of a whole, from 0 to 1; written `50%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// Reads `500ms`, `10s`, `5m`, `1h`, `1d`, `1.5s`, also several in a row as in `1m30s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let needs_unit = "a duration needs a unit: `ms`, `s`, `m`, `h` or `d`";
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(format!("{needs_unit}, such as `10s`"));
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let Ok(amount) = number.parse::<f64>() else {
            return Err(format!("{needs_unit}, such as `10s`"));
        };
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "" => return Err(format!("{needs_unit}, such as `{number}s` or `{number}ms`")),
            _ => return Err(format!("`{unit}` is not a unit of time: use `ms`, `s`, `m`, `h` or `d`")),
        };
        let part = Duration::try_from_secs_f64(amount * seconds).map_err(|_| "too long".to_owned())?;
        total = total.saturating_add(part);
        rest = next;
    }
    if total > DURATION_MAX { Err("a duration is at most one year".to_owned()) } else { Ok(total) }
}

impl ByteSize {
    /// Reads `64KiB`, `2MiB`, `1GiB` (powers of 1024), `10kB`, `10MB`, `1GB` (powers of 1000) or `512B`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text.trim());
        let Ok(amount) = number.parse::<f64>() else {
            return Err(
                "a size is a number with a unit: `B`, `KiB`, `MiB` or `GiB`, such as `2MiB`".to_owned()
            );
        };
        let factor: f64 = match unit.trim_start() {
            "B" => 1.0,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            "GiB" => 1_073_741_824.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "" => {
                return Err(format!(
                    "a size needs a unit: `B`, `KiB`, `MiB` or `GiB`, such as `{number}KiB` or `{number}B`"
                ));
            }
            other => return Err(format!("`{other}` is not a unit of size: use `B`, `KiB`, `MiB` or `GiB`")),
        };
        let bytes = amount * factor;
        if bytes > 1e15 {
            return Err("a size is at most 1,000,000 GB".to_owned());
        }
        // Lossless for whole bytes: 1e15 is below 2^53.
        Ok(Self(bytes.round() as u64))
    }
}

impl Rate {
    /// Reads `100/s`, `5/m`, `1000/h` or `10000/d`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((permits, unit)) = text.split_once('/') else {
            return Err(format!(
                "a rate says in which time: `/s`, `/m`, `/h` or `/d`, such as `{}/s`",
                if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() { text } else { "100" }
            ));
        };
        let permits = permits.trim().parse::<NonZeroU32>().map_err(|_| {
            "a rate starts with a whole number from 1 to 4294967295, such as `100/s`; to refuse everything, answer with a fallback or leave the route out".to_owned()
        })?;
        let per = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            other => return Err(format!("`{other}` is not a unit of time: use `/s`, `/m`, `/h` or `/d`")),
        };
        Ok(Self { permits, per: Duration::from_secs(per) })
    }
}

impl Share {
    /// Reads `50%` or `0.5%`; at most `100%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some(number) = text.strip_suffix('%') else {
            return Err(match text.parse::<f64>() {
                Ok(_) => format!("a share needs its unit: write `{text}%`"),
                Err(_) => "a share is written in percent, such as `50%`".to_owned(),
            });
        };
        match number.trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            Ok(_) => Err("a share lies between `0%` and `100%`".to_owned()),
            Err(_) => Err("a share is written in percent, such as `50%`".to_owned()),
        }
    }
}

/// Splits off the leading digits and dot. No sign and no exponent: `-1s` is not a duration.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    text.split_at(end)
}
