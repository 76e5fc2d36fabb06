//! Deserialisers that forgive what Consul and its many clients are known to send.
//! They never fail on `null` or on a number out of range; a wrong JSON type is still an error.

use serde::{Deserialize, Deserializer};

/// `null` reads as the type's default: Go writes `null` for an empty slice or map.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A port; anything outside 1..=65535 reads as 0, which means "no port".
pub(crate) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = Option::<i64>::deserialize(deserializer)?.unwrap_or_default();
    Ok(u16::try_from(number).unwrap_or_default())
}

/// A weight; clamped into 0..=65535, the range Consul accepts.
pub(crate) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = Option::<i64>::deserialize(deserializer)?.unwrap_or_default();
    Ok(u16::try_from(number.clamp(0, i64::from(u16::MAX))).unwrap_or(u16::MAX))
}

pub(crate) fn is_zero(number: &u16) -> bool {
    *number == 0
}

pub(crate) fn is_false(flag: &bool) -> bool {
    !*flag
}
