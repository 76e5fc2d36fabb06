//! The key-value store: bounded, ordered, with compare-and-set and remembered deletions.
//! It knows nothing of services.

use std::collections::BTreeMap;

use portcullis_consul_wire::KvPair;

use super::Store;
use super::refusal::Refusal;
use crate::limits::{GRAVES_MAX, KEY_BYTES_MAX, KEY_VALUE_BYTES_MAX, KEYS_MAX, VALUE_BYTES_MAX};

/// When a write may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvCondition {
    /// In any case.
    Always,
    /// Only if the key does not exist (`cas=0`), or has this index.
    Index(u64),
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// The whole key.
    pub key: String,
    /// The bytes.
    pub value: Vec<u8>,
    /// Free for the writer's use.
    pub flags: u64,
    /// When it may happen.
    pub condition: KvCondition,
}

/// The keys, and the indexes at which others were deleted.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KvStore {
    pub(super) pairs: BTreeMap<String, KvPair>,
    graves: BTreeMap<String, u64>,
    bytes: usize,
}

impl Store {
    pub(super) fn put(&mut self, write: KvWrite) -> Result<bool, Refusal> {
        if write.key.is_empty() {
            return Err(Refusal::request("Missing key name"));
        }
        if write.key.len() > KEY_BYTES_MAX {
            return Err(Refusal::request(format!("invalid key name, longer than {KEY_BYTES_MAX} bytes")));
        }
        if write.value.len() > VALUE_BYTES_MAX {
            return Err(Refusal::request(format!("Value exceeds {VALUE_BYTES_MAX} byte limit")));
        }
        let old = self.kv.pairs.get(&write.key);
        if !allowed(write.condition, old) {
            return Ok(false);
        }
        if let Some(old) = old
            && old.value == write.value
            && old.flags == write.flags
        {
            return Ok(true);
        }
        let old_bytes = old.map_or(0, |old| old.key.len() + old.value.len());
        let bytes = self.kv.bytes - old_bytes + write.key.len() + write.value.len();
        if old.is_none() && self.kv.pairs.len() >= KEYS_MAX {
            return Err(Refusal::full("keys", KEYS_MAX));
        }
        if bytes > KEY_VALUE_BYTES_MAX {
            return Err(Refusal::full("bytes of keys and values", KEY_VALUE_BYTES_MAX));
        }
        let index = self.indexes.next();
        let pair = KvPair {
            lock_index: 0,
            key: write.key.clone(),
            flags: write.flags,
            value: write.value,
            session: None,
            create_index: old.map_or(index, |old| old.create_index),
            modify_index: index,
        };
        self.indexes.touch_kv();
        self.kv.bytes = bytes;
        self.kv.graves.remove(&write.key);
        self.kv.pairs.insert(write.key, pair);
        Ok(true)
    }

    pub(super) fn delete_key(&mut self, key: &str, condition: KvCondition) -> bool {
        // Consul: deleting what is not there succeeds, with or without a condition.
        let Some(old) = self.kv.pairs.get(key) else { return true };
        if !allowed(condition, Some(old)) {
            return false;
        }
        self.indexes.touch_kv();
        self.bury(key);
        true
    }

    pub(super) fn delete_tree(&mut self, prefix: &str) {
        let keys: Vec<String> = self.kv.under(prefix).map(|pair| pair.key.clone()).collect();
        if keys.is_empty() {
            return;
        }
        self.indexes.touch_kv();
        keys.iter().for_each(|key| self.bury(key));
    }

    fn bury(&mut self, key: &str) {
        if let Some(old) = self.kv.pairs.remove(key) {
            self.kv.bytes = self.kv.bytes.saturating_sub(old.key.len() + old.value.len());
            self.kv.graves.insert(old.key, self.indexes.last());
        }
        if self.kv.graves.len() > GRAVES_MAX {
            // Half at once, so that burying many keys stays cheap. A watcher this far behind re-reads everything.
            let mut indexes: Vec<u64> = self.kv.graves.values().copied().collect();
            indexes.sort_unstable();
            let middle = indexes.get(GRAVES_MAX / 2).copied().unwrap_or_default();
            self.kv.graves.retain(|_, index| *index > middle);
        }
    }
}

impl KvStore {
    /// The pairs whose key begins with `prefix`, in order.
    pub(super) fn under<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'s KvPair> {
        self.pairs
            .range(prefix.to_owned()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, pair)| pair)
    }

    /// The newest write or deletion under `prefix`, if any is known.
    pub(super) fn newest_under(&self, prefix: &str) -> Option<u64> {
        let written = self.under(prefix).map(|pair| pair.modify_index).max();
        let buried = self
            .graves
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, index)| *index)
            .max();
        written.max(buried)
    }
}

fn allowed(condition: KvCondition, old: Option<&KvPair>) -> bool {
    match condition {
        KvCondition::Always => true,
        KvCondition::Index(0) => old.is_none(),
        KvCondition::Index(index) => old.is_some_and(|old| old.modify_index == index),
    }
}
