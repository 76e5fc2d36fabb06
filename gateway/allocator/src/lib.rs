//! The gateway's allocator: mimalloc, with one setting that is not its default, and a word to it after start and reload.
//!
//! Decides how long memory that was given back is kept. Holds the only
//! `unsafe` of the workspace: a setting of a C library is set by a call to C.

use std::ffi::{c_int, c_long};

pub use mimalloc::MiMalloc;

/// `mi_option_page_full_retain` of mimalloc 3, which the binding does not name. A test asks mimalloc whether this is it.
const PAGE_FULL_RETAIN: c_int = 36;

/// Full pages that a thread goes on looking at, for each size of block.
const FULL_PAGES_RETAINED: c_long = 0;

/// Makes threads that start from now on keep the page that their last block of a size came from.
///
/// mimalloc keeps an empty page for the next allocation only if it is the only one of its size that the thread looks
/// at, and by default it goes on looking at two full ones. A thread that once filled pages with what stays, such as
/// the instruments of ten thousand routes, would then take and give back a page with every request: 2,800 of 107,000
/// instructions.
///
/// To be called once, before any thread is started.
pub fn keep_pages_between_requests() {
    set(PAGE_FULL_RETAIN, FULL_PAGES_RETAINED);
}

/// Gives what is free back to the system now.
///
/// mimalloc does so by itself some time after memory was freed, but only when something is allocated: a gateway that
/// has read a large configuration and then idles would keep what reading took. Costs milliseconds; not for the way of
/// a request.
pub fn give_back_free_memory() {
    collect();
}

#[expect(unsafe_code, reason = "the binding to mimalloc is a C function")]
fn collect() {
    // SAFETY: may be called at any time from any thread (mimalloc.h).
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[expect(unsafe_code, reason = "the binding to mimalloc's settings is a C function")]
fn set(option: c_int, value: c_long) {
    // SAFETY: mimalloc checks the number of the option, and settings may be changed at any time (mimalloc.h).
    unsafe { libmimalloc_sys::mi_option_set(option, value) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[global_allocator]
    static ALLOCATOR: MiMalloc = MiMalloc;

    /// Any value that is nobody's default.
    const TOLD: c_long = 17;

    #[expect(unsafe_code, reason = "the binding to mimalloc's settings is a C function")]
    fn get(option: c_int) -> c_long {
        // SAFETY: as in `set`.
        unsafe { libmimalloc_sys::mi_option_get(option) }
    }

    #[test]
    fn the_setting_is_the_one_that_mimalloc_calls_page_full_retain() {
        // mimalloc knows its settings by name only in the environment, and reads it when a process starts.
        const VARIABLE: &str = "MIMALLOC_PAGE_FULL_RETAIN";
        if std::env::var_os(VARIABLE).is_some() {
            assert_eq!(get(PAGE_FULL_RETAIN), TOLD);
            return;
        }
        let this = std::env::current_exe().unwrap();
        let name = "tests::the_setting_is_the_one_that_mimalloc_calls_page_full_retain";
        let again =
            Command::new(this).args(["--exact", name]).env(VARIABLE, TOLD.to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(again.status.success() && said.contains("1 passed"), "{said}");
    }

    #[test]
    fn what_is_set_is_kept() {
        keep_pages_between_requests();
        assert_eq!(get(PAGE_FULL_RETAIN), FULL_PAGES_RETAINED);
    }
}
