//! One try of a TCP check: connect, then close.
//! It reports what happened; what that means for the check is decided by the store.

use std::time::Duration;

use portcullis_consul_wire::CheckStatus;
use tokio::net::TcpStream;

use crate::store::TryResult;

pub(super) async fn try_once(address: &str, timeout: Duration) -> TryResult {
    let failed = |why: String| TryResult {
        status: CheckStatus::Critical,
        output: format!("dial tcp {address}: {why}"),
    };
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(_stream)) => {
            TryResult { status: CheckStatus::Passing, output: format!("TCP connect {address}: Success") }
        }
        Ok(Err(error)) => failed(error.to_string()),
        Err(_elapsed) => failed("i/o timeout".to_owned()),
    }
}
