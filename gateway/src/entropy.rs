//! The only seeder of randomness.
//!
//! One small generator a thread, seeded from the operating system; the decisions take it as
//! `&mut dyn FnMut() -> u64`, so tests and simulations can replay them by seed.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(seeded());
}

#[expect(clippy::disallowed_methods, reason = "this is the one lawful seeder of randomness")]
fn seeded() -> SmallRng {
    SmallRng::from_rng(&mut rand::rng())
}

/// A uniform number. Fast, not for secrets.
#[must_use]
pub fn number() -> u64 {
    GENERATOR.with_borrow_mut(|generator| generator.next_u64())
}

/// 32 bytes for a credential, from the operating system's cryptographic generator.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one lawful seeder of randomness")]
pub fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}
