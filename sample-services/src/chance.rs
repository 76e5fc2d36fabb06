//! The only thrower of dice. Decisions take a roll as an argument; who calls them asks here.

/// A number from 0 to just below 1, each as likely as any other.
#[must_use]
pub fn roll() -> f64 {
    rand::random()
}
