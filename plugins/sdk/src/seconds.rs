//! A duration in whole seconds, written with its unit.
//!
//! For settings that end up in a header which counts in seconds (`Retry-After`, `Access-Control-Max-Age`). A bare
//! number is refused, since nobody can see its unit.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Whole seconds, written `30s`, `10m`, `2h` or `1d`; at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub u32);

/// Ten years, in seconds: longer is a mistake.
const SECONDS_MAX: u32 = 315_360_000;

impl Seconds {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const WANTED: &str = "a duration needs a whole number and a unit: 30s, 10m, 2h or 1d";
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(WANTED)?;
        let (number, unit) = text.split_at(unit_at);
        let number: u32 = number.parse().map_err(|_| WANTED)?;
        let scale = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(WANTED),
        };
        match number.checked_mul(scale) {
            Some(seconds) if seconds <= SECONDS_MAX => Ok(Self(seconds)),
            Some(_) | None => Err("a duration is at most 3650d"),
        }
    }
}

impl fmt::Display for Seconds {
    /// The number alone, as headers want it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with a unit: 30s, 10m, 2h or 1d")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                Seconds::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Seconds".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+[smhd]$",
            "description": "A duration in whole seconds with its unit: 30s, 10m, 2h or 1d."
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(json: serde_json::Value) -> Result<u32, String> {
        serde_json::from_value::<Seconds>(json).map(|s| s.0).map_err(|e| e.to_string())
    }

    #[test]
    fn a_duration_is_read_in_every_unit() {
        assert_eq!(check(json!("30s")), Ok(30));
        assert_eq!(check(json!("10m")), Ok(600));
        assert_eq!(check(json!("2h")), Ok(7_200));
        assert_eq!(check(json!("1d")), Ok(86_400));
        assert_eq!(check(json!("0s")), Ok(0));
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        for bad in [json!(30), json!("30"), json!(""), json!("s"), json!("1.5h"), json!("-1s"), json!("10ms")]
        {
            let error = check(bad.clone()).unwrap_err();
            assert!(error.contains("30s, 10m, 2h or 1d"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_duration_beyond_ten_years_is_refused() {
        assert!(check(json!("3651d")).is_err());
        assert!(check(json!("4294967295d")).is_err());
        assert!(check(json!("99999999999s")).is_err());
    }
}
