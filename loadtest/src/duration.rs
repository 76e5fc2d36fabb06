//! Durations as people write them on a command line: `500ms`, `5s`, `2m`. Never a bare number.

use std::time::Duration;

/// Longest duration accepted: one day.
const DURATION_MAX_S: f64 = 86_400.0;

/// Reads `250us`, `500ms`, `5s`, `1.5s`, `2m` or `1h`.
///
/// # Errors
/// Says what is wrong: no unit, an unknown one, not a number, negative, or longer than a day.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits_end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let seconds_per_unit = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(format!("`{text}` has no unit; write `{text}s` or `{text}ms`")),
        _ => return Err(format!("`{unit}` is no unit of time; use us, ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a duration such as 5s"))?;
    let seconds = number * seconds_per_unit;
    if seconds > DURATION_MAX_S {
        return Err(format!("`{text}` is longer than a day"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn a_duration_without_a_unit_or_a_number_is_refused_with_the_reason() {
        for (text, part) in [
            ("5", "no unit"),
            ("s", "not a duration"),
            ("5 days", "no unit of time"),
            ("99h", "a day"),
            ("-1s", "no unit of time"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
