use std::sync::Barrier;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Later than any of these tests.
const FAR: Duration = Duration::from_secs(3600);

/// A connection of ours with its timer, and the endpoint's side of it.
async fn connected() -> (TcpStream, Arc<ConnectionTimer>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let timer = ConnectionTimer::new(&ours).unwrap();
    (ours, timer, theirs)
}

/// Reads until the other side closes; nothing was sent.
async fn sees_the_end(stream: &mut TcpStream) {
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
    assert_eq!(read.expect("never closed").unwrap(), 0);
}

fn state(timer: &ConnectionTimer) -> State {
    State::unpack(timer.state.load(Ordering::SeqCst))
}

#[test]
fn every_state_survives_being_packed() {
    let (now, end) = (Moment::from_nanos(8), Moment::from_nanos(u64::MAX));
    for state in [State::Unbound, State::Ended] {
        assert_eq!(State::unpack(state.pack()), state);
    }
    for span in [Span::Head, Span::Silence, Span::Rest] {
        assert_eq!(State::unpack(State::Expired(span).pack()), State::Expired(span));
        assert_eq!(State::unpack(State::Due(span, now).pack()), State::Due(span, now));
        assert_eq!(State::unpack(State::Due(span, Moment::ORIGIN).pack()), State::Due(span, Moment::ORIGIN));
        assert!(matches!(State::unpack(State::Due(span, end).pack()), State::Due(kept, _) if kept == span));
    }
}

#[test]
fn a_head_is_due_at_its_moment_and_not_before() {
    let due = Moment::from_nanos(10);
    assert_eq!(State::Due(Span::Head, due).next(Moment::from_nanos(9)), Next::SleepUntil(due));
    assert_eq!(State::Due(Span::Head, due).next(due), Next::Expire(Span::Head));
    assert_eq!(State::Unbound.next(due), Next::Park);
    assert_eq!([State::Expired(Span::Rest), State::Ended].map(|state| state.next(due)), [Next::Stop; 2]);
}

#[tokio::test]
async fn what_takes_too_long_ends_the_connection_on_both_sides() {
    for span in [Span::Head, Span::Silence, Span::Rest] {
        let (mut ours, timer, mut theirs) = connected().await;
        timer.expect(span, Some(clock::now())).unwrap();
        timer.clone().keep().await;
        assert_eq!(timer.expired(), Some(Expired(span)));
        sees_the_end(&mut ours).await;
        sees_the_end(&mut theirs).await;
        assert_eq!(timer.expect(Span::Head, None), Err(Expired(span)));
    }
}

#[tokio::test]
async fn nothing_follows_what_took_too_long() {
    let (_ours, timer, _theirs) = connected().await;
    timer.expect(Span::Head, Some(Moment::ORIGIN)).unwrap();
    assert_eq!(timer.look(clock::now()), Next::Stop);
    assert!(timer.expect(Span::Head, Some(clock::now() + FAR)).is_err());
    timer.end();
    assert_eq!(timer.expired(), Some(Expired(Span::Head)));
}

#[tokio::test]
async fn a_head_in_time_leaves_the_connection_alone() {
    let (_ours, timer, _theirs) = connected().await;
    let due = Moment::from_nanos(clock::now().as_nanos() & !3);
    timer.expect(Span::Head, Some(due)).unwrap();
    timer.expect(Span::Silence, None).unwrap();
    assert_eq!(timer.look(due + FAR), Next::Park);
    // The next request on the connection has a time of its own.
    timer.expect(Span::Head, Some(due + FAR)).unwrap();
    assert_eq!(timer.look(due), Next::SleepUntil(due + FAR));
}

#[tokio::test]
async fn a_silence_while_nobody_reads_is_not_the_endpoints() {
    let (mut ours, timer, mut theirs) = connected().await;
    theirs.write_all(b"body").await.unwrap();
    ours.readable().await.unwrap();
    let due = clock::now();
    timer.expect(Span::Silence, Some(due)).unwrap();
    assert_eq!(timer.look(due), Next::Expire(Span::Silence));
    assert!(timer.expired().is_none());
    assert!(matches!(timer.look(due), Next::SleepUntil(later) if later > due));
    // Once all of it is taken, it is.
    ours.read_exact(&mut [0; 4]).await.unwrap();
    assert_eq!(timer.look(due + FAR), Next::Stop);
    assert_eq!(timer.expired(), Some(Expired(Span::Silence)));
}

#[tokio::test]
async fn the_task_wakes_for_what_is_due_sooner() {
    let (_ours, timer, mut theirs) = connected().await;
    timer.expect(Span::Rest, Some(clock::now() + FAR)).unwrap();
    let sooner = async {
        while timer.looks_at.load(Ordering::SeqCst) == LOOKING {
            tokio::task::yield_now().await;
        }
        timer.expect(Span::Head, Some(clock::now())).unwrap();
        sees_the_end(&mut theirs).await;
    };
    tokio::join!(timer.clone().keep(), sooner);
    assert_eq!(timer.expired(), Some(Expired(Span::Head)));
}

#[tokio::test]
async fn a_parked_task_wakes_and_a_sleeping_one_is_left_asleep() {
    let (_ours, timer, _theirs) = connected().await;
    let ask = async {
        while timer.looks_at.load(Ordering::SeqCst) != PARKED {
            tokio::task::yield_now().await;
        }
        let first = Moment::from_nanos((clock::now() + FAR).as_nanos() & !3);
        timer.expect(Span::Head, Some(first)).unwrap();
        while timer.looks_at.load(Ordering::SeqCst) != first.as_nanos() {
            tokio::task::yield_now().await;
        }
        // What every further request does: the task is not told.
        timer.expect(Span::Silence, Some(first + FAR)).unwrap();
        timer.expect(Span::Rest, Some(first + FAR)).unwrap();
        timer.expect(Span::Head, Some(first + FAR)).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(timer.looks_at.load(Ordering::SeqCst), first.as_nanos());
        timer.end();
    };
    tokio::join!(timer.clone().keep(), ask);
    assert_eq!(state(&timer), State::Ended);
}

#[tokio::test]
async fn the_end_of_a_connection_is_not_put_off_and_ends_the_task() {
    let (ours, timer, mut theirs) = connected().await;
    timer.expect(Span::Head, Some(clock::now() + FAR)).unwrap();
    timer.end();
    drop(ours);
    sees_the_end(&mut theirs).await;
    timer.clone().keep().await;
    assert_eq!(state(&timer), State::Ended);
    assert!(timer.expired().is_none());
}

/// The head and the time at once, many times: exactly one of them is first.
#[tokio::test]
async fn of_the_head_and_the_time_exactly_one_wins() {
    let (_ours, timer, _theirs) = connected().await;
    let (due, barrier) = (clock::now(), Barrier::new(2));
    for _round in 0..2_000 {
        timer.state.store(State::Due(Span::Head, due).pack(), Ordering::SeqCst);
        let (came, looked) = std::thread::scope(|scope| {
            let head = scope.spawn(|| {
                barrier.wait();
                timer.expect(Span::Silence, None)
            });
            barrier.wait();
            let looked = timer.look(due);
            (head.join().unwrap(), looked)
        });
        match came {
            Ok(()) => {
                assert!(matches!(looked, Next::Park | Next::Expire(_)), "{looked:?}");
                assert!(timer.expired().is_none());
            }
            Err(Expired(span)) => assert_eq!((looked, span), (Next::Stop, Span::Head)),
        }
    }
}
