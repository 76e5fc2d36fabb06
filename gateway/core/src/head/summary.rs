//! What the rest of the gateway needs to know about a head that was found sound.
//!
//! Holds facts only; each was decided by `field`, `target` or `framing`.

/// The protocol version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no upgrade, closes unless asked not to.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2: no connection fields at all.
    Http2,
}

/// How the end of the body is found. There is no close-delimited request (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// No body.
    None,
    /// So many bytes; never 0, which is [`BodyLength::None`].
    Length(u64),
    /// Chunks, a last chunk and trailers. For HTTP/2: until the stream ends.
    Chunked,
}

/// The four forms of a request target (RFC 9112 §3.2) less authority-form, which only `CONNECT` may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`.
    Origin,
    /// `http://host/path?query`, its authority equal to `Host`.
    ///
    /// To be routed and forwarded as origin-form with the target's path, `/` if it has none.
    Absolute {
        /// The scheme is `https`. It says what the client believes, not how it is connected.
        https: bool,
    },
    /// `*`, for OPTIONS only.
    Asterisk,
}

/// Whether the connection may carry another message after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Another message may follow.
    KeepAlive,
    /// This message is the last.
    Close,
}

/// A wish to leave HTTP after this message, if `Connection` names it too and the version is 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpgradeAsk {
    /// None, or one that has to be ignored.
    None,
    /// `websocket`, alone.
    WebSocket,
    /// Anything else, `h2c` included: never passed on.
    Other,
}

/// A sound head in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSummary {
    /// Protocol version.
    pub version: Version,
    /// Form of the target.
    pub target: TargetForm,
    /// Where the body ends.
    pub body: BodyLength,
    /// Whether another message may follow.
    pub connection: Connection,
    /// What the client would like to speak instead.
    pub upgrade: UpgradeAsk,
    /// The method is HEAD: an answer has no body.
    pub is_head: bool,
    /// The content type is `application/grpc`: an answer of ours has `grpc-status`.
    pub is_grpc: bool,
    /// `Expect: 100-continue` on a version that knows it.
    pub expects_continue: bool,
}

/// Whether a `Content-Type` is gRPC proper: `application/grpc`, `+suffix` or `;parameters` after it.
/// gRPC-Web is not: its client reads trailers from the body.
pub(super) fn is_grpc_content_type(value: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    match value.split_at_checked(GRPC.len()) {
        Some((front, rest)) => {
            front.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';'))
        }
        None => false,
    }
}
