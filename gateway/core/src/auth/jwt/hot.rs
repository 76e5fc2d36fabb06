//! Tokens that were found good a moment ago, so that a client's next request costs no signature check.
//!
//! Keeps only tokens that passed, and only as long as time, key set and text are the same. Bounded: a fixed table,
//! four places for each token, the place a newcomer takes named by its own bits. A refusal is never remembered.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq;

use super::claims::Validity;
use crate::auth::Identity;
use crate::units::WallTime;

/// The most tokens one gate keeps.
pub const HOT_TOKENS_MAX: usize = 4096;

/// The longest token that is kept, in bytes; a longer one is verified every time.
pub const HOT_TOKEN_BYTES_MAX: usize = 2048;

/// How many places a token may be in.
const WAYS: usize = 4;

/// How much of a token's end is hashed: base64url of signature bytes, which are as good as random.
const HASHED_BYTES: usize = 16;

type Slot = ArcSwapOption<HotToken>;

/// The hot tokens of one gate. Owns no memory until the first one.
#[derive(Default)]
pub(super) struct HotTokens {
    slots: OnceLock<Box<[Slot]>>,
}

struct HotToken {
    text: Box<[u8]>,
    signature_at: usize,
    generation: u64,
    validity: Validity,
    identity: Arc<Identity>,
}

impl HotTokens {
    /// Whose token this is, if it was found good under this generation of keys and still is.
    pub(super) fn find(&self, text: &[u8], generation: u64, now: WallTime) -> Option<Arc<Identity>> {
        let (set, _) = self.set_of(text)?;
        set.iter().find_map(|slot| {
            let hot = slot.load();
            let hot = hot.as_ref()?;
            let is_good = hot.is_alive(generation, now) && hot.is(text);
            is_good.then(|| hot.identity.clone())
        })
    }

    /// Keeps a token that was just found good.
    pub(super) fn keep(
        &self,
        text: &[u8],
        generation: u64,
        validity: Validity,
        now: WallTime,
        identity: Arc<Identity>,
    ) {
        if text.len() > HOT_TOKEN_BYTES_MAX {
            return;
        }
        self.slots.get_or_init(|| (0..HOT_TOKENS_MAX).map(|_| Slot::empty()).collect());
        let Some((set, way)) = self.set_of(text) else { return };
        let is_free = |slot: &&Slot| slot.load().as_ref().is_none_or(|hot| !hot.is_alive(generation, now));
        let Some(slot) = set.iter().find(is_free).or_else(|| set.get(way)) else { return };
        let signature_at = text.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
        slot.store(Some(Arc::new(HotToken {
            text: text.into(),
            signature_at,
            generation,
            validity,
            identity,
        })));
    }

    /// The places a token may be in, and which of them it takes if all are taken.
    fn set_of(&self, text: &[u8]) -> Option<(&[Slot], usize)> {
        const N_SETS: usize = HOT_TOKENS_MAX / WAYS;
        let hash = hash(text);
        let first = (hash as usize % N_SETS) * WAYS;
        let set = self.slots.get()?.get(first..first + WAYS)?;
        Some((set, (hash >> 48) as usize % WAYS))
    }
}

impl fmt::Debug for HotTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HotTokens").finish_non_exhaustive()
    }
}

impl HotToken {
    fn is_alive(&self, generation: u64, now: WallTime) -> bool {
        self.generation == generation && self.validity.check(now).is_ok()
    }

    /// Whether this is the token, whole. The signature is compared in constant time, since who can guess it piece by
    /// piece has the token; the rest is no secret to somebody who has the signature.
    fn is(&self, text: &[u8]) -> bool {
        if self.text.len() != text.len() {
            return false;
        }
        let Some((our_head, our_signature)) = self.text.split_at_checked(self.signature_at) else {
            return false;
        };
        let Some((their_head, their_signature)) = text.split_at_checked(self.signature_at) else {
            return false;
        };
        is_equal(our_signature, their_signature) && our_head == their_head
    }
}

/// Constant-time equality of two texts of one length, eight bytes at a step.
fn is_equal(ours: &[u8], theirs: &[u8]) -> bool {
    let ((ours, our_rest), (theirs, their_rest)) = (ours.as_chunks::<8>(), theirs.as_chunks::<8>());
    let rest = our_rest.ct_eq(their_rest);
    let equal = ours
        .iter()
        .zip(theirs)
        .fold(rest, |equal, (a, b)| equal & u64::from_ne_bytes(*a).ct_eq(&u64::from_ne_bytes(*b)));
    bool::from(equal) && ours.len() == theirs.len()
}

/// FNV-1a over the end of the token. Weak is enough: a table of this shape has no chains to make long.
fn hash(text: &[u8]) -> u64 {
    let end = text.last_chunk::<HASHED_BYTES>().map_or(text, |end| &end[..]);
    let hash = end.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Credential;

    const VALID: Validity = Validity { not_before: WallTime(10), ends: WallTime(100) };

    fn identity() -> Arc<Identity> {
        Arc::new(Identity {
            subject: "u".into(),
            consumer: None,
            limit_key: "subject u".into(),
            credential: Credential::Jwt,
            claims: Arc::default(),
            headers: Vec::new(),
        })
    }

    fn kept(text: &str) -> HotTokens {
        let hot = HotTokens::default();
        hot.keep(text.as_bytes(), 1, VALID, WallTime(50), identity());
        hot
    }

    fn is_hot(hot: &HotTokens, text: &str, generation: u64, now: u64) -> bool {
        hot.find(text.as_bytes(), generation, WallTime(now)).is_some()
    }

    #[test]
    fn a_token_is_hot_while_time_keys_and_text_are_the_same() {
        let hot = kept("header.payload.signature-signature");
        assert!(is_hot(&hot, "header.payload.signature-signature", 1, 50));
        assert!(!is_hot(&hot, "header.payload.signature-signature", 2, 50));
        assert!(!is_hot(&hot, "header.payload.signature-signature", 1, 100));
        assert!(!is_hot(&hot, "header.payload.signature-signature", 1, 9));
    }

    #[test]
    fn a_token_that_differs_anywhere_is_another_token() {
        let text = "header.payload.signature-signature";
        let hot = kept(text);
        for idx in 0..text.len() {
            let mut other = text.to_owned().into_bytes();
            other[idx] ^= 1;
            assert!(!is_hot(&hot, std::str::from_utf8(&other).unwrap(), 1, 50), "{idx}");
        }
        assert!(!is_hot(&hot, "eader.payload.signature-signature", 1, 50));
        assert!(!is_hot(&hot, "signature-signature", 1, 50));
        assert!(!is_hot(&hot, "", 1, 50));
    }

    #[test]
    fn the_table_never_grows_and_the_newest_token_is_in_it() {
        let hot = HotTokens::default();
        for n in 0..3 * HOT_TOKENS_MAX {
            let text = format!("h.p.{n:016}");
            hot.keep(text.as_bytes(), 1, VALID, WallTime(50), identity());
            assert!(is_hot(&hot, &text, 1, 50), "{text}");
        }
        let slots = hot.slots.get().unwrap();
        assert_eq!(slots.len(), HOT_TOKENS_MAX);
        let n_taken = slots.iter().filter(|slot| slot.load().is_some()).count();
        assert!(n_taken > HOT_TOKENS_MAX * 3 / 4, "the tokens spread over the table: {n_taken}");
    }

    #[test]
    fn texts_are_equal_only_if_every_byte_is() {
        for len in [0, 1, 7, 8, 9, 86, 342] {
            let text = vec![b'a'; len];
            assert!(is_equal(&text, &text), "{len}");
            assert!(
                !is_equal(&text, &vec![b'a'; len + 1]) && !is_equal(&text, &vec![b'a'; len + 8]),
                "{len}"
            );
            for idx in 0..len {
                let mut other = text.clone();
                other[idx] = b'b';
                assert!(!is_equal(&text, &other), "{len} {idx}");
            }
        }
    }

    #[test]
    fn a_long_token_is_not_kept() {
        let text = "a".repeat(HOT_TOKEN_BYTES_MAX + 1);
        assert!(!is_hot(&kept(&text), &text, 1, 50));
    }
}
