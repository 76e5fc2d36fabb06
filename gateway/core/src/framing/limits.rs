//! How much of a head, a chunk line and trailers is held back before it is refused.
//!
//! Holds numbers; `scanner` applies them.

/// Bounds of one message. They also bound what the guard has to buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line without its CRLF; more is 414.
    pub request_line_bytes_max: usize,
    /// Bytes of the whole head, request line and all CRLFs included; more is 431.
    pub head_bytes_max: usize,
    /// Fields in a head, and again in its trailers; more is 431.
    pub fields_max: usize,
    /// Bytes of a chunk-size line with its extensions, without CRLF; more is 400.
    pub chunk_line_bytes_max: usize,
    /// Bytes of all trailers with their CRLFs; more is 431.
    pub trailer_bytes_max: usize,
}

impl Default for Limits {
    /// 8 KiB, 32 KiB, 100 fields, 256 bytes, 8 KiB.
    fn default() -> Self {
        Self {
            request_line_bytes_max: 8 * 1024,
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 8 * 1024,
        }
    }
}
