//! What a Pingora error says about the upstream, in our words.

use pingora_core::{Error, ErrorSource, ErrorType};
use portcullis_core::outcome::{ConnectFailure, Failure};

/// The failure to connect that `error` describes.
#[must_use]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "Pingora's list of errors is open; what is new in it is `Other`"
)]
pub fn of_connect(error: &Error) -> Failure {
    Failure::Connect(match error.etype() {
        ErrorType::ConnectRefused => ConnectFailure::Refused,
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => ConnectFailure::Timeout,
        ErrorType::ConnectNoRoute => ConnectFailure::Unreachable,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => {
            ConnectFailure::Tls
        }
        _ => ConnectFailure::Other,
    })
}

/// The failure of a connected attempt, or `None` if the upstream is not to blame.
#[must_use]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "Pingora's list of errors is open; what is new in it is a reset"
)]
pub fn of_exchange(error: &Error) -> Option<Failure> {
    if *error.esource() != ErrorSource::Upstream {
        return None;
    }
    Some(match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::ReadTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error | ErrorType::InvalidH2 => Failure::BadResponse,
        _ => Failure::Reset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_timeout_and_a_closed_connection_a_reset() {
        let of = |kind| of_exchange(&Error::new_up(kind));
        assert_eq!(of(ErrorType::ReadTimedout), Some(Failure::ReadTimeout));
        assert_eq!(of(ErrorType::ConnectionClosed), Some(Failure::Reset));
        assert_eq!(of(ErrorType::InvalidHTTPHeader), Some(Failure::BadResponse));
    }

    #[test]
    fn a_client_that_left_is_no_failure_of_the_upstream() {
        assert_eq!(of_exchange(&Error::new_down(ErrorType::ConnectionClosed)), None);
    }

    #[test]
    fn connect_errors_keep_their_kind() {
        let refused = Error::new_up(ErrorType::ConnectRefused);
        assert_eq!(of_connect(&refused), Failure::Connect(ConnectFailure::Refused));
    }
}
