//! The rules that fields of a head must hold to, one field after the other, then all together.
//!
//! Decides framing, connection, expectation and authority from fields, whichever protocol brought them.
//! Allocates nothing; keeps only slices of what it was shown.

use super::grammar::{is_token, list_members, trim_ows};
use super::summary::is_grpc_content_type;
use super::{
    Authority, BodyLength, Connection, HeadSummary, TargetForm, UpgradeAsk, Version, Violation, ViolationKind,
};

/// Most digits a `Content-Length` may have: more than any body, and never more than 64 bits.
const LENGTH_DIGITS_MAX: usize = 19;

/// What the fields seen so far amount to.
#[derive(Debug)]
pub(crate) struct FieldRules<'a> {
    version: Version,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    authorized: bool,
    expects_continue: bool,
    names_close: bool,
    names_keep_alive: bool,
    names_upgrade: bool,
    upgrade: UpgradeAsk,
    is_grpc: bool,
}

impl<'a> FieldRules<'a> {
    pub(crate) const fn new(version: Version) -> Self {
        Self {
            version,
            host: None,
            length: None,
            chunked: false,
            authorized: false,
            expects_continue: false,
            names_close: false,
            names_keep_alive: false,
            names_upgrade: false,
            upgrade: UpgradeAsk::None,
            is_grpc: false,
        }
    }

    /// Takes one field, value still with its optional whitespace.
    ///
    /// That the name is a token and the value has no control byte was seen to before: by the scanner for
    /// HTTP/1, by the types `HeaderName` and `HeaderValue` for HTTP/2.
    pub(crate) fn field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Violation> {
        let value = trim_ows(value);
        // The length sorts out nearly every field with one comparison.
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => self.te(value),
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            10 if name.eq_ignore_ascii_case(b"keep-alive") => self.refuse_on_http2(),
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                self.is_grpc = is_grpc_content_type(value);
                Ok(())
            }
            13 if name.eq_ignore_ascii_case(b"authorization") => self.authorization(),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            16 if name.eq_ignore_ascii_case(b"proxy-connection") => self.refuse_on_http2(),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    /// The verdict on the whole head. `authority` is that of an absolute target or of `:authority`;
    /// a port left out there or in `Host` means `port_default`.
    pub(crate) fn finish(
        self,
        method: &[u8],
        target: TargetForm,
        authority: Option<&[u8]>,
        port_default: u16,
    ) -> Result<HeadSummary, Violation> {
        self.check_authority(authority, port_default)?;
        if self.chunked && self.length.is_some() {
            return Err(Violation::malformed("both Transfer-Encoding and Content-Length are given"));
        }
        if self.chunked && self.version == Version::Http10 {
            return Err(Violation::malformed("HTTP/1.0 has no Transfer-Encoding"));
        }
        let is_http11 = self.version == Version::Http11;
        Ok(HeadSummary {
            version: self.version,
            target,
            body: self.body(),
            connection: self.persistence(),
            upgrade: if is_http11 && self.names_upgrade { self.upgrade } else { UpgradeAsk::None },
            is_head: method == b"HEAD",
            is_grpc: self.is_grpc,
            expects_continue: self.expects_continue && self.version != Version::Http10,
        })
    }

    fn body(&self) -> BodyLength {
        match self.length {
            _ if self.chunked => BodyLength::Chunked,
            None | Some(0) => BodyLength::None,
            Some(bytes) => BodyLength::Length(bytes),
        }
    }

    fn persistence(&self) -> Connection {
        let kept = match self.version {
            Version::Http10 => self.names_keep_alive && !self.names_close,
            Version::Http11 => !self.names_close,
            Version::Http2 => true,
        };
        if kept { Connection::KeepAlive } else { Connection::Close }
    }

    /// One authority, said once or said twice alike (RFC 9112 §3.2, RFC 9113 §8.3.1).
    ///
    /// RFC 9112 §3.2.2 lets an absolute target win over `Host`; we refuse the difference, since the next
    /// parser may let `Host` win.
    fn check_authority(&self, authority: Option<&[u8]>, port_default: u16) -> Result<(), Violation> {
        let host = match self.host {
            Some(host) => Some(Authority::parse(host)?),
            None if self.version == Version::Http2 => None,
            None => return Err(Violation::malformed("there is no Host")),
        };
        let authority = authority.map(Authority::parse).transpose()?;
        match (host, authority) {
            (Some(host), Some(authority)) if !authority.is_same(&host, port_default) => {
                Err(Violation::malformed("the authority and Host are not the same"))
            }
            (None, None) => Err(Violation::malformed("there is neither an authority nor a Host")),
            (Some(_), _) | (None, Some(_)) => Ok(()),
        }
    }

    fn host(&mut self, value: &'a [u8]) -> Result<(), Violation> {
        if self.host.replace(value).is_some() {
            return Err(Violation::malformed("there is more than one Host"));
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        const BAD: Violation = Violation::malformed("Content-Length is not one plain number");
        if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
            return Err(BAD);
        }
        // 19 digits fit into 64 bits, so nothing here can overflow.
        let bytes = value.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        if self.length.replace(bytes).is_some() {
            return Err(Violation::malformed("there is more than one Content-Length"));
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Violation> {
        self.refuse_on_http2()?;
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::malformed("Transfer-Encoding is not the single word chunked"));
        }
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Violation::malformed("there is more than one Transfer-Encoding"));
        }
        Ok(())
    }

    fn authorization(&mut self) -> Result<(), Violation> {
        if std::mem::replace(&mut self.authorized, true) {
            return Err(Violation::malformed("there is more than one Authorization"));
        }
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Violation> {
        let known = value.eq_ignore_ascii_case(b"100-continue");
        if !known || std::mem::replace(&mut self.expects_continue, true) {
            let reason = "only the expectation 100-continue can be met";
            return Err(Violation { kind: ViolationKind::Expectation, reason });
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Violation> {
        self.refuse_on_http2()?;
        for member in list_members(value) {
            if !is_token(member) {
                return Err(Violation::malformed("Connection names something that is not a token"));
            }
            self.names_close |= member.eq_ignore_ascii_case(b"close");
            self.names_keep_alive |= member.eq_ignore_ascii_case(b"keep-alive");
            self.names_upgrade |= member.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    fn upgrade(&mut self, value: &[u8]) -> Result<(), Violation> {
        self.refuse_on_http2()?;
        let alone = self.upgrade == UpgradeAsk::None;
        self.upgrade = if alone && value.eq_ignore_ascii_case(b"websocket") {
            UpgradeAsk::WebSocket
        } else {
            UpgradeAsk::Other
        };
        Ok(())
    }

    /// In HTTP/2 `TE` may only say `trailers` (RFC 9113 §8.2.2); in HTTP/1 it is dropped with its hop.
    fn te(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.version == Version::Http2 && !value.eq_ignore_ascii_case(b"trailers") {
            return Err(Violation::malformed("TE may only say trailers"));
        }
        Ok(())
    }

    fn refuse_on_http2(&self) -> Result<(), Violation> {
        match self.version {
            Version::Http2 => Err(Violation::malformed("HTTP/2 has no connection fields")),
            Version::Http10 | Version::Http11 => Ok(()),
        }
    }
}
