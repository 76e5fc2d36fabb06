//! Ports that are free, and stay free while nobody listens on them.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Below the range from which systems take ports for outgoing connections. A killed broker's port is
/// free for seconds while clients dial it: from that range one of them could be given the very port it
/// dials, and would be connected to itself.
const PORTS: RangeInclusive<u16> = 20_000..=29_999;
/// Time between two looks at a condition that is waited for.
const POLL_PAUSE: Duration = Duration::from_millis(20);

/// So many ports on loopback that are free now, all different.
///
/// # Errors
/// When the range has no more of them.
pub fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    // Held until all are picked, so that no port is picked twice.
    let mut held = Vec::new();
    let width = PORTS.end() - PORTS.start() + 1;
    // The kernel's choice of a port is as good a die as any, and differs between processes that ask at once.
    let die = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let first = die.wrapping_mul(257) % width;
    for offset in 0..width {
        if held.len() == count {
            break;
        }
        let port = PORTS.start() + (first + offset) % width;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push(listener);
        }
    }
    if held.len() < count {
        return Err(std::io::Error::other(format!("no free port in {PORTS:?}")));
    }
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The pause between two looks at a condition that is waited for with a deadline.
#[expect(clippy::disallowed_methods, reason = "between two looks at a condition; the loop has the deadline")]
pub(crate) fn pause() {
    std::thread::sleep(POLL_PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_below_the_range_of_outgoing_connections() {
        let mut ports = free_ports(20).unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }
}
