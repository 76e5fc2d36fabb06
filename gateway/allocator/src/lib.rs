//! The gateway's allocator: mimalloc, asked in the shortest way, and a few words to it.
//!
//! Decides which of mimalloc's doors an allocation takes, and how long memory that was given back is kept. Holds nearly
//! all `unsafe` of the workspace: an allocator and the settings of a C library are calls to C.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_long, c_void};

/// The allocator of a program: `#[global_allocator] static ALLOCATOR: Allocator = Allocator;`.
///
/// The binding's own asks for an alignment with every allocation, although nearly all are content with what mimalloc
/// gives any block. mimalloc then looks for a block that happens to fit, and takes a larger one to cut if none does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// Alignment that mimalloc gives every block of at least this size, in bytes (`MI_MAX_ALIGN_SIZE`).
const NATURAL_ALIGNMENT: usize = 16;

/// Whether any block of `size` bytes is aligned as `alignment` asks; the smallest are aligned to a word.
const fn is_natural(size: usize, alignment: usize) -> bool {
    alignment <= size_of::<usize>() || (alignment <= NATURAL_ALIGNMENT && size >= NATURAL_ALIGNMENT)
}

#[expect(unsafe_code, reason = "the trait of an allocator is unsafe, and so is the binding to mimalloc")]
// SAFETY: mimalloc's functions keep `malloc`'s promises: a block of the size asked for that nobody else has, or null.
// Its alignment is the one asked for, or a natural one where that is enough. None of them unwinds, and a block may be
// resized and freed by `mi_realloc` and `mi_free` however it was come by (mimalloc.h).
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: any size may be asked for, and the alignment of a `Layout` is a power of two.
        let block = unsafe {
            if is_natural(size, alignment) {
                libmimalloc_sys::mi_malloc(size)
            } else {
                libmimalloc_sys::mi_malloc_aligned(size, alignment)
            }
        };
        block.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, alignment) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        let block = unsafe {
            if is_natural(size, alignment) {
                libmimalloc_sys::mi_zalloc(size)
            } else {
                libmimalloc_sys::mi_zalloc_aligned(size, alignment)
            }
        };
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller promises that `block` came from this allocator and is still there.
        unsafe { libmimalloc_sys::mi_free(block.cast::<c_void>()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let alignment = layout.align();
        // SAFETY: as in `alloc` and `dealloc`.
        let block = unsafe {
            if is_natural(size, alignment) {
                libmimalloc_sys::mi_realloc(block.cast::<c_void>(), size)
            } else {
                libmimalloc_sys::mi_realloc_aligned(block.cast::<c_void>(), size, alignment)
            }
        };
        block.cast()
    }
}

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

/// Asks Linux for pages of four kilobytes only, from now on and for all threads and children.
///
/// mimalloc takes pages of two megabytes where the system lets it, and a gateway that idles then holds ten megabytes it
/// has no use for. Requests were not slower without them, with one route or with ten thousand. Where the system does not
/// know the request, all stays as it was.
pub fn take_small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
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
    static ALLOCATOR: Allocator = Allocator;

    /// Any value that is nobody's default.
    const TOLD: c_long = 17;

    /// Sizes around every step of mimalloc's classes up to two pages of memory.
    fn sizes() -> impl Iterator<Item = usize> {
        (1..=520).chain((520..9_000).step_by(61))
    }

    #[expect(unsafe_code, reason = "the binding to mimalloc's settings is a C function")]
    fn get(option: c_int) -> c_long {
        // SAFETY: as in `set`.
        unsafe { libmimalloc_sys::mi_option_get(option) }
    }

    #[expect(unsafe_code, reason = "an allocator is called like this")]
    fn check(layout: Layout) {
        // SAFETY: no size is zero, and each block is freed once, with the layout it has by then.
        unsafe {
            // Several at once: the first of a page is aligned to anything.
            let blocks: Vec<*mut u8> = (0..4).map(|_| Allocator.alloc(layout)).collect();
            let zeroed = Allocator.alloc_zeroed(layout);
            assert!((0..layout.size()).all(|at| zeroed.add(at).read() == 0), "{layout:?}");
            for block in blocks.into_iter().chain([zeroed]) {
                assert!(
                    !block.is_null() && block.addr().is_multiple_of(layout.align()),
                    "{layout:?}: {block:?}"
                );
                block.write_bytes(0xa5, layout.size());
                let longer = Layout::from_size_align(layout.size() * 3, layout.align()).unwrap();
                let grown = Allocator.realloc(block, layout, longer.size());
                assert!(grown.addr().is_multiple_of(layout.align()), "{longer:?}: {grown:?}");
                assert!((0..layout.size()).all(|at| grown.add(at).read() == 0xa5), "{longer:?}");
                let shrunk = Allocator.realloc(grown, longer, 1);
                let smallest = Layout::from_size_align(1, layout.align()).unwrap();
                assert!(shrunk.addr().is_multiple_of(layout.align()), "{layout:?} shrunk: {shrunk:?}");
                assert_eq!(shrunk.read(), 0xa5);
                Allocator.dealloc(shrunk, smallest);
            }
        }
    }

    #[test]
    fn every_block_is_aligned_as_its_layout_asks_and_keeps_its_bytes_when_it_moves() {
        for alignment in [1, 2, 4, 8, 16, 32, 64, 128, 4096] {
            sizes().for_each(|size| check(Layout::from_size_align(size, alignment).unwrap()));
        }
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

    #[cfg(target_os = "linux")]
    #[test]
    fn large_pages_are_declined() {
        take_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }

    #[test]
    fn what_is_set_is_kept() {
        keep_pages_between_requests();
        assert_eq!(get(PAGE_FULL_RETAIN), FULL_PAGES_RETAINED);
    }
}
