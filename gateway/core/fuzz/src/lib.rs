//! The properties of the core's own tests, as functions for a fuzzer, and the seeds it starts from.
//!
//! Holds no property itself: what must be true is written once, in `gateway/core/tests/properties`.

// The crate that these files are tests of declares them one beside the other, too.
#[allow(dead_code, reason = "what must come of a case is for the tests; a fuzzer only wants its bytes")]
#[path = "../../tests/http_cases/mod.rs"]
mod http_cases;
#[path = "../../tests/http_drive/mod.rs"]
mod http_drive;
#[path = "../../tests/http_reference/mod.rs"]
mod http_reference;
#[path = "../../tests/properties/mod.rs"]
mod properties;
#[path = "../../tests/sample_plugin/mod.rs"]
mod sample_plugin;

/// The scanner comes to one verdict, that of a slow second reading.
pub fn scanner(bytes: &[u8]) {
    properties::scanner::check(bytes);
}

/// A path has one form, in which nothing is left to resolve.
pub fn path(bytes: &[u8]) {
    properties::path::check(bytes);
}

/// A configuration is compiled or refused, and findings point into it.
pub fn config(bytes: &[u8]) {
    properties::config::check(bytes);
}

/// HTTP/2 heads, forwarding fields and trace contexts say what is true.
pub fn fields(bytes: &[u8]) {
    properties::fields::check(bytes);
}

/// Writes the seeds of `target` into the corpus, which is the first folder among the arguments. One that cannot be
/// written is one the fuzzer starts without.
pub fn sow(target: &str) {
    let folders = std::env::args_os().skip(1).map(std::path::PathBuf::from);
    let Some(corpus) = folders.into_iter().find(|path| path.is_dir()) else { return };
    for (name, bytes) in properties::seeds::of(target) {
        let _ = std::fs::write(corpus.join(name), bytes);
    }
}
