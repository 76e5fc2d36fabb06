//! A gateway that is killed while it writes comes back with one whole configuration: the last that it answered for, or
//! the one that it was about to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::config_writes::{MERGE, etag, running};
use crate::support::{Client, request, timed};

/// Kills of one run of the test.
const KILLS: usize = 12;
/// Decides when the gateway is killed; the same number, the same moments.
const SEED: u64 = 0x5eed_0004;

/// The next of a row of numbers that look like chance (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn a_killed_gateway_comes_back_with_the_last_configuration_that_it_answered_for() {
    let (_upstream, mut gateway) = running();
    let mut chance = SEED;
    let mut written = 0;
    for kill in 0..KILLS {
        let answered = AtomicUsize::new(written);
        let asked = AtomicUsize::new(written);
        let (admin, token, tag) = (gateway.admin, gateway.token.clone(), etag(&gateway, "/api/v1/config"));
        let wait = Duration::from_micros(next(&mut chance) % 60_000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tag = tag;
                loop {
                    let number = answered.load(Ordering::SeqCst) + 1;
                    asked.store(number, Ordering::SeqCst);
                    let mark =
                        json!({ "X-Mark": number.to_string(), "X-Padding": "x".repeat(number % 4 * 1_000) });
                    let patch = json!({ "routes": { "all": { "response_headers": { "set": mark } } } });
                    let bearer = format!("Bearer {token}");
                    let fields =
                        [("Host", "localhost"), ("Authorization", &bearer), MERGE, ("If-Match", &tag)];
                    let Ok(mut client) = Client::try_connect(admin) else { return };
                    client.send(request("PATCH", "/api/v1/config", &fields, &patch.to_string()));
                    let Some(reply) = client.reply_to("PATCH").filter(|reply| reply.whole) else { return };
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    tag = reply.header("etag").unwrap().to_owned();
                    answered.store(number, Ordering::SeqCst);
                }
            });
            // Spins: a few microseconds decide at which step the process dies.
            let mut waited = Duration::ZERO;
            while waited < wait || answered.load(Ordering::SeqCst) == written && kill % 3 == 0 {
                waited += timed(std::thread::yield_now).0;
            }
            gateway.kill();
        });
        let (answered, asked) = (answered.into_inner(), asked.into_inner());
        gateway = gateway.killed_and_started_again();
        let mark = gateway.get("/").header("x-mark").map_or(0, |mark| mark.parse().unwrap());
        assert!(
            mark == answered || mark == asked,
            "kill {kill} after {wait:?}: {mark} is in use, {answered} was answered, {asked} was asked for"
        );
        let state = std::fs::read_dir(gateway.path("state")).unwrap();
        let drafts: Vec<_> = state
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name.to_string_lossy().ends_with(".new"))
            .collect();
        assert!(drafts.is_empty(), "{drafts:?}");
        written = mark;
    }
    assert!(written > 0, "no change was ever written");
    let history = gateway.admin("GET", "/api/v1/config/history", "").json();
    assert_eq!(history["items"][0]["in_use"], true, "{history:#}");
}
