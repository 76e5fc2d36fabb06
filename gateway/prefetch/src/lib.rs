//! A hint to the processor: bring this into the cache, I will need it soon.
//!
//! A gateway with ten thousand routes finds the lines of memory that belong to one of them cold at nearly every request, and
//! each that is met unprepared is waited for: about a hundred nanoseconds from main memory. Lines that are asked for
//! together are waited for once. A hint changes nothing that a program can see, so a pure function may give it.

/// Bytes that a processor brings at once.
#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;

/// Asks the processor to bring `value` into its cache, and does not wait for it. Does nothing where the compiler has no
/// such instruction.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of_val(value)).step_by(CACHE_LINE) {
        prefetch_line(std::ptr::from_ref(value).cast::<i8>().wrapping_add(offset));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the instruction takes an address")]
fn prefetch_line(line: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: any address will do, as nothing is read that the program can see; SSE is there on every x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_as_it_was() {
        let value = [7_u8; 200];
        prefetch(&value);
        prefetch(&value[..3]);
        prefetch(&());
        assert_eq!(value, [7; 200]);
    }
}
