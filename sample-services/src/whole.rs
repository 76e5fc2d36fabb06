//! Whole numbers in JSON. `49.0` is one too (JSON Schema, §6.1.1: an integer is a number without a fraction).

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest whole number up to which every one has a float of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number, however it is written. It is what `#[serde(deserialize_with = "whole::number")]` reads.
///
/// # Errors
/// When it is no number, has a fraction, or does not fit.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_any(Whole)
}

/// The same for a member that may be left out, but is not null.
///
/// # Errors
/// As [`number`].
pub fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    number(deserializer).map(Some)
}

/// A text that may be left out, but is not null.
///
/// # Errors
/// When it is no text.
pub fn given_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            // Lossless within the bound just checked.
            return Ok(number as i64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_str;

    use super::*;

    #[derive(Deserialize)]
    struct Form {
        #[serde(deserialize_with = "number")]
        n: i64,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (text, expected) in
            [("7", 7), ("-7", -7), ("7.0", 7), ("1e3", 1000), ("9223372036854775807", i64::MAX)]
        {
            assert_eq!(from_str::<Form>(&format!("{{\"n\":{text}}}")).unwrap().n, expected, "{text}");
        }
        for text in ["7.5", "\"7\"", "null", "9223372036854775808", "1e300", "true"] {
            assert!(from_str::<Form>(&format!("{{\"n\":{text}}}")).is_err(), "{text}");
        }
    }
}
