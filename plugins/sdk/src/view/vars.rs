//! Values that filters leave for each other within one exchange, keyed by their type.
//!
//! There is one value a type, so the map is bounded by the number of types the plugins of a binary define.

use std::any::{Any, TypeId};
use std::fmt;

/// A map from a type to the one value of it. Empty, it owns no memory.
#[derive(Default)]
pub struct Vars {
    values: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
}

impl Vars {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// The value of this type, if a filter left one.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let wanted = TypeId::of::<T>();
        self.values.iter().find(|(id, _)| *id == wanted).and_then(|(_, value)| value.downcast_ref())
    }

    /// Leaves a value, in place of an earlier one of the same type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.values.retain(|(other, _)| *other != id);
        self.values.push((id, Box::new(value)));
    }
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vars").field("n_values", &self.values.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Country(&'static str);

    #[test]
    fn a_value_is_found_by_its_type_and_the_last_one_wins() {
        let mut vars = Vars::new();
        assert_eq!(vars.get::<Country>(), None);
        vars.insert(Country("GB"));
        vars.insert(7_u8);
        vars.insert(Country("NL"));
        assert_eq!(vars.get(), Some(&Country("NL")));
        assert_eq!(vars.get(), Some(&7_u8));
        assert_eq!(vars.values.len(), 2);
    }
}
