//! Raw requests and what the house rule says about them: name, bytes, expectation.
//!
//! Data only; how a case is run is written in `http_scanner.rs`.

mod bodies;
mod connections;
mod fields;
mod hosts;
mod request_lines;

/// What must come of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Everything is passed on, as so many whole messages.
    Passes(usize),
    /// So many whole messages pass, then more bytes are needed.
    Waits(usize),
    /// Refused with this status after so many whole messages.
    Refused(u16, usize),
}

/// A name, the bytes of a connection, and what must come of them.
pub(crate) type Case = (&'static str, &'static [u8], Expect);

/// Refused with 400 at once, which most cases are.
pub(crate) const BAD: Expect = Expect::Refused(400, 0);
/// One whole message.
pub(crate) const ONE: Expect = Expect::Passes(1);

/// Every case there is.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [request_lines::CASES, hosts::CASES, fields::CASES, bodies::CASES, connections::CASES]
        .into_iter()
        .flatten()
}
