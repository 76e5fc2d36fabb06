//! One entry of Consul's key-value store.
//! Only its JSON form, with the value in base64; bounds are the store's.

use serde::{Deserialize, Serialize};

/// One entry in `GET /v1/kv/<key>`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvPair {
    /// How often the key was locked.
    pub lock_index: u64,
    /// The whole key.
    pub key: String,
    /// Free for the writer's use.
    pub flags: u64,
    /// The bytes; written in base64, `null` when empty.
    #[serde(with = "base64_or_null")]
    pub value: Vec<u8>,
    /// The session that holds the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Index at which the key was created.
    pub create_index: u64,
    /// Index at which the key was last changed; the number for `?cas=`.
    pub modify_index: u64,
}

mod base64_or_null {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if bytes.is_empty() {
            return serializer.serialize_none();
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_travels_as_base64_and_an_empty_one_as_null() {
        let pair = KvPair { key: "a".into(), value: b"test".to_vec(), ..KvPair::default() };
        let text = serde_json::to_string(&pair).unwrap();
        assert!(text.contains(r#""Value":"dGVzdA==""#), "{text}");
        assert_eq!(serde_json::from_str::<KvPair>(&text).unwrap(), pair);
        let empty = serde_json::to_string(&KvPair::default()).unwrap();
        assert!(empty.contains(r#""Value":null"#), "{empty}");
    }
}
