//! The scanner on raw requests: every case whole, byte by byte and in every cut into two.

mod http_cases;
mod http_drive;

use http_cases::{Expect, all};
use http_drive::{Run, run};
use portcullis_core::framing::{
    BodyLength, Connection, Limits, Scanner, Step, TargetForm, UpgradeAsk, Version,
};
use portcullis_core::framing::{HeadSummary, Violation};

fn verdict(run: &Run) -> Expect {
    match run.refused {
        Some(violation) => Expect::Refused(violation.status(), run.ends),
        None if run.waits => Expect::Waits(run.ends),
        None => Expect::Passes(run.ends),
    }
}

#[test]
fn each_case_gets_its_verdict() {
    let wrong: Vec<String> = all()
        .filter_map(|(name, bytes, expected)| {
            let run = run(bytes, &[], Limits::default());
            let seen = verdict(&run);
            (seen != *expected)
                .then(|| format!("{name}: {seen:?} ({:?}) instead of {expected:?}", run.refused))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_enough_cases_and_no_two_have_the_same_name() {
    let mut names: Vec<&str> = all().map(|(name, ..)| *name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count >= 120, "{count}");
}

#[test]
fn a_case_fed_byte_by_byte_comes_to_the_same() {
    for (name, bytes, _) in all() {
        let cuts: Vec<usize> = (1..bytes.len()).collect();
        assert_eq!(run(bytes, &cuts, Limits::default()), run(bytes, &[], Limits::default()), "{name}");
    }
}

#[test]
fn a_case_cut_in_two_anywhere_comes_to_the_same() {
    for (name, bytes, _) in all() {
        let whole = run(bytes, &[], Limits::default());
        for cut in 1..bytes.len() {
            assert_eq!(run(bytes, &[cut], Limits::default()), whole, "{name} cut at {cut}");
        }
    }
}

#[test]
fn nothing_passes_of_a_head_that_is_refused() {
    for (name, bytes, expected) in all() {
        let run = run(bytes, &[], Limits::default());
        if matches!(expected, Expect::Refused(_, 0)) && run.heads.is_empty() {
            assert!(run.passed.is_empty(), "{name}");
        }
    }
}

fn only_head(bytes: &[u8]) -> HeadSummary {
    run(bytes, &[], Limits::default()).heads[0]
}

#[test]
fn a_summary_tells_what_the_head_said() {
    let plain = only_head(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        plain,
        HeadSummary {
            version: Version::Http11,
            target: TargetForm::Origin,
            body: BodyLength::None,
            connection: Connection::KeepAlive,
            upgrade: UpgradeAsk::None,
            is_head: false,
            is_grpc: false,
            expects_continue: false,
        }
    );
    let rich = only_head(
        b"HEAD https://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nContent-Type: application/grpc+proto\r\n\
          Expect: 100-continue\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(
        rich,
        HeadSummary {
            version: Version::Http11,
            target: TargetForm::Absolute { https: true },
            body: BodyLength::Length(7),
            connection: Connection::Close,
            upgrade: UpgradeAsk::None,
            is_head: true,
            is_grpc: true,
            expects_continue: true,
        }
    );
    let old = only_head(b"OPTIONS * HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!((old.version, old.target), (Version::Http10, TargetForm::Asterisk));
    assert!(!old.expects_continue, "HTTP/1.0 knows no interim answers");
}

#[test]
fn grpc_web_is_not_grpc() {
    let grpc = |kind: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\n\r\n");
        only_head(head.as_bytes()).is_grpc
    };
    assert!(grpc("application/grpc") && grpc("Application/gRPC; a=b") && grpc("application/grpc+json"));
    assert!(!grpc("application/grpc-web") && !grpc("application/json") && !grpc("application/grp"));
}

#[test]
fn an_upgrade_needs_its_connection_option_and_http_1_1() {
    let ask = |version: &str, connection: &str, upgrade: &str| {
        let head = format!(
            "GET / HTTP/{version}\r\nHost: h\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        only_head(head.as_bytes()).upgrade
    };
    assert_eq!(ask("1.1", "keep-alive, Upgrade", "WebSocket"), UpgradeAsk::WebSocket);
    assert_eq!(ask("1.1", "upgrade", "h2c"), UpgradeAsk::Other);
    assert_eq!(ask("1.1", "upgrade", "websocket, h2c"), UpgradeAsk::Other);
    assert_eq!(ask("1.1", "keep-alive", "websocket"), UpgradeAsk::None);
    assert_eq!(ask("1.0", "upgrade", "websocket"), UpgradeAsk::None);
}

#[test]
fn a_request_line_may_be_as_long_as_its_limit_and_no_longer() {
    let limits = Limits { request_line_bytes_max: 40, ..Limits::default() };
    let line = |target_bytes: usize| {
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(target_bytes - 1)).into_bytes()
    };
    let overhead = "GET  HTTP/1.1".len();
    assert_eq!(verdict(&run(&line(40 - overhead), &[], limits)), Expect::Passes(1));
    assert_eq!(verdict(&run(&line(41 - overhead), &[], limits)), Expect::Refused(414, 0));
    assert_eq!(verdict(&run(&[b'a'; 40], &[], limits)), Expect::Waits(0));
    assert_eq!(verdict(&run(&[b'a'; 41], &[], limits)), Expect::Refused(414, 0));
}

#[test]
fn a_head_may_be_as_large_as_its_limit_and_no_larger() {
    let limits = Limits { head_bytes_max: 100, ..Limits::default() };
    let head = |bytes: usize| {
        let fixed = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(bytes - fixed)).into_bytes()
    };
    for size in 95..=105 {
        let bytes = head(size);
        let cuts: Vec<usize> = (1..bytes.len()).collect();
        let expected = if size <= 100 { Expect::Passes(1) } else { Expect::Refused(431, 0) };
        assert_eq!(verdict(&run(&bytes, &[], limits)), expected, "{size}");
        assert_eq!(verdict(&run(&bytes, &cuts, limits)), expected, "{size} byte by byte");
    }
}

#[test]
fn a_head_may_have_a_hundred_fields_and_no_more() {
    let head = |fields: usize| {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: a\r\n".repeat(fields - 1)).into_bytes()
    };
    assert_eq!(verdict(&run(&head(100), &[], Limits::default())), Expect::Passes(1));
    assert_eq!(verdict(&run(&head(101), &[], Limits::default())), Expect::Refused(431, 0));
}

#[test]
fn chunk_lines_and_trailers_have_their_limits() {
    let limits =
        Limits { chunk_line_bytes_max: 8, trailer_bytes_max: 20, fields_max: 2, ..Limits::default() };
    let body = |text: &str| {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        verdict(&run(format!("{head}{text}").as_bytes(), &[], limits))
    };
    assert_eq!(body("1;abcdef\r\na\r\n0\r\n\r\n"), Expect::Passes(1));
    assert_eq!(body("1;abcdefg\r\na\r\n0\r\n\r\n"), Expect::Refused(400, 0));
    assert_eq!(body("0\r\nX: 1234567890123\r\n\r\n"), Expect::Passes(1));
    assert_eq!(body("0\r\nX: 12345678901234\r\n\r\n"), Expect::Refused(431, 0));
    assert_eq!(body("0\r\nA:\r\nB:\r\nC:\r\n\r\n"), Expect::Refused(431, 0));
}

#[test]
fn a_refusal_is_final() {
    let mut scanner = Scanner::new(Limits::default());
    let violation = scanner.push(b"GET / HTTP/1.1\n").unwrap_err();
    assert_eq!(scanner.push(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Err(violation));
    assert_eq!(violation, Violation::malformed("a line feed without a carriage return"));
}

#[test]
fn body_bytes_in_front_of_a_broken_one_pass_first() {
    let bytes = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX";
    let run = run(bytes, &[], Limits::default());
    assert!(run.passed.ends_with(b"5\r\nhello"));
    assert_eq!(run.refused.map(|violation| violation.status()), Some(400));
}

#[test]
fn after_101_everything_passes() {
    let mut scanner = Scanner::new(Limits::default());
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert!(matches!(scanner.push(head), Ok(Step::Head { .. })));
    scanner.tunnel();
    assert_eq!(scanner.push(b"\x81\x05hello\n\r\0"), Ok(Step::Tunnel { len: 10 }));
    assert_eq!(scanner.push(b""), Ok(Step::Tunnel { len: 0 }));
}

#[test]
fn a_connection_is_between_messages_only_there() {
    let mut scanner = Scanner::new(Limits::default());
    assert!(scanner.is_between_messages());
    assert_eq!(scanner.push(b"G"), Ok(Step::NeedMore));
    assert!(!scanner.is_between_messages());
    assert!(matches!(scanner.push(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(Step::Head { len: 27, .. })));
    assert!(!scanner.is_between_messages());
    assert_eq!(scanner.push(b""), Ok(Step::MessageEnd));
    assert!(scanner.is_between_messages());
}
