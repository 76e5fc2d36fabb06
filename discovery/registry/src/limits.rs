//! Every bound of the registry, by name.
//! Where Consul has the same bound, the value is Consul's; the others keep one small process small.

use std::time::Duration;

/// Service instances.
pub const SERVICES_MAX: usize = 10_000;
/// Checks, maintenance checks included.
pub const CHECKS_MAX: usize = 20_000;
/// Checks in one registration.
pub const CHECKS_PER_SERVICE_MAX: usize = 64;
/// Tags of one service.
pub const TAGS_MAX: usize = 128;
/// Bytes of a name, an id or a tag.
pub const NAME_BYTES_MAX: usize = 256;
/// Pairs of service meta (Consul's bound).
pub const META_PAIRS_MAX: usize = 64;
/// Bytes of a meta key (Consul's bound).
pub const META_KEY_BYTES_MAX: usize = 128;
/// Bytes of a meta value (Consul's bound).
pub const META_VALUE_BYTES_MAX: usize = 512;
/// Bytes kept of what a check said (Consul's bound).
pub const CHECK_OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// Keys in the key-value store.
pub const KEYS_MAX: usize = 100_000;
/// Bytes of one value (Consul's bound).
pub const VALUE_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one key (Consul's bound).
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of all keys and values together.
pub const KEY_VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Deleted keys remembered, so that a watched prefix sees the deletion.
pub const GRAVES_MAX: usize = 10_000;

/// Bytes of a JSON request body.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Bytes above a bound that are still read and dropped, so that the client sees why it was refused.
pub const BODY_DROP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Time a client has to send its request body.
pub const BODY_READ_TIME: Duration = Duration::from_secs(10);
/// Time a client has to send its request head.
pub const HEAD_READ_TIME: Duration = Duration::from_secs(10);
/// Open connections; further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Blocked queries; further ones are answered 429.
pub const WAITERS_MAX: usize = 2_048;
/// Longest wait of a blocking query (Consul's bound).
pub const WAIT_MAX: Duration = Duration::from_secs(600);
/// Wait of a blocking query that names none (Consul's default).
pub const WAIT_DEFAULT: Duration = Duration::from_secs(300);

/// Least interval of an HTTP or TCP check; shorter ones are raised to it, as Consul does.
pub const CHECK_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest wait for one try when the check names none (Consul's default).
pub const CHECK_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The first try of a check comes within this time, or within one interval if that is shorter.
pub const FIRST_TRY_WITHIN: Duration = Duration::from_millis(500);
/// Tries of checks under way at once.
pub const TRIES_AT_ONCE_MAX: usize = 64;
/// Least `DeregisterCriticalServiceAfter`; shorter ones are raised to it, as Consul does.
pub const DEREGISTER_AFTER_MIN: Duration = Duration::from_secs(60);
/// Time between two looks for services to deregister (Consul's default).
pub const REAP_TICK: Duration = Duration::from_secs(30);
/// Time that open connections have to finish at shutdown.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
