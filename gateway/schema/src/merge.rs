//! How one layer of settings is laid over another: `defaults`, then each policy in `use`, then the route.
//!
//! Decides only the rule (maps merge by key, lists and single values replace, `none` replaces and is
//! replaced); never which layers there are.

use crate::span::{At, Entry, Map};

/// Can be overlaid by another value of its kind.
pub trait Merge: Clone {
    /// Lays `over` on top of `self`. The rule for everything that has no keys of its own: replace.
    fn merge(&mut self, over: &Self) {
        *self = over.clone();
    }
}

/// A setting that `none` can turn off.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Setting<T> {
    /// `none` was written: whatever lower layers said no longer holds.
    #[default]
    Off,
    /// A value was written.
    On(T),
}

impl<T> Setting<T> {
    /// The value unless it is turned off.
    pub fn on(&self) -> Option<&T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<T: Merge> Merge for Setting<T> {
    fn merge(&mut self, over: &Self) {
        match (&mut *self, over) {
            (Self::On(below), Self::On(above)) => below.merge(above),
            (Self::On(_) | Self::Off, Self::Off) | (Self::Off, Self::On(_)) => *self = over.clone(),
        }
    }
}

impl<T: Merge> Merge for At<T> {
    fn merge(&mut self, over: &Self) {
        self.value.merge(&over.value);
        self.at = over.at;
    }
}

impl<T: Merge> Merge for Option<T> {
    fn merge(&mut self, over: &Self) {
        match (self.as_mut(), over) {
            (Some(below), Some(above)) => below.merge(above),
            (None, Some(_)) => *self = over.clone(),
            (Some(_) | None, None) => {}
        }
    }
}

impl<K: Ord + Clone, T: Merge> Merge for Map<K, T> {
    fn merge(&mut self, over: &Self) {
        for (key, entry) in over {
            match self.get_mut(key) {
                Some(below) => {
                    below.value.merge(&entry.value);
                    below.at = entry.at;
                }
                None => {
                    self.insert(key.clone(), Entry { at: entry.at, value: entry.value.clone() });
                }
            }
        }
    }
}

impl<T: Clone> Merge for Vec<T> {}
