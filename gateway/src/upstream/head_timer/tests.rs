use std::sync::Barrier;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;

/// Later than any of these tests.
const FAR: Duration = Duration::from_secs(3600);

/// A connection of ours with its timer, and the endpoint's side of it.
async fn connected() -> (TcpStream, Arc<HeadTimer>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let timer = HeadTimer::new(&ours).unwrap();
    (ours, timer, theirs)
}

/// Reads until the other side closes; nothing was sent.
async fn sees_the_end(stream: &mut TcpStream) {
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
    assert_eq!(read.expect("never closed").unwrap(), 0);
}

fn state(timer: &HeadTimer) -> State {
    State::unpack(timer.state.load(Ordering::SeqCst))
}

#[test]
fn every_state_survives_being_packed() {
    let (now, end) = (Moment::from_nanos(7), Moment::from_nanos(u64::MAX));
    for state in
        [State::Idle, State::Waiting(now), State::Waiting(Moment::ORIGIN), State::Overdue, State::Ended]
    {
        assert_eq!(State::unpack(state.pack()), state);
    }
    assert!(matches!(State::unpack(State::Waiting(end).pack()), State::Waiting(_)));
}

#[test]
fn a_head_is_due_at_its_moment_and_not_before() {
    let due = Moment::from_nanos(10);
    assert_eq!(State::Waiting(due).next(Moment::from_nanos(9)), Next::SleepUntil(due));
    assert_eq!(State::Waiting(due).next(due), Next::Expire);
    assert_eq!(State::Idle.next(due), Next::Park);
    assert_eq!([State::Overdue, State::Ended].map(|state| state.next(due)), [Next::Stop; 2]);
}

#[tokio::test]
async fn an_overdue_head_ends_the_connection_on_both_sides() {
    let (mut ours, timer, mut theirs) = connected().await;
    timer.wait_until(clock::now());
    timer.clone().keep().await;
    assert!(timer.is_overdue());
    sees_the_end(&mut ours).await;
    sees_the_end(&mut theirs).await;
    assert_eq!(timer.head_came(), Err(Overdue));
}

#[tokio::test]
async fn nothing_follows_an_overdue_head() {
    let (_ours, timer, _theirs) = connected().await;
    timer.wait_until(Moment::ORIGIN);
    assert_eq!(timer.look(clock::now()), Next::Stop);
    timer.wait_until(clock::now() + FAR);
    assert!(timer.is_overdue());
    timer.end();
    assert!(timer.is_overdue());
}

#[tokio::test]
async fn a_head_in_time_leaves_the_connection_alone() {
    let (_ours, timer, _theirs) = connected().await;
    let due = clock::now();
    timer.wait_until(due);
    assert_eq!(timer.head_came(), Ok(()));
    assert_eq!(timer.look(due + FAR), Next::Park);
    // The next request on the connection has a time of its own.
    timer.wait_until(due + FAR);
    assert_eq!(timer.look(due), Next::SleepUntil(due + FAR));
}

#[tokio::test]
async fn the_task_wakes_for_a_head_that_is_due_sooner() {
    let (_ours, timer, mut theirs) = connected().await;
    timer.wait_until(clock::now() + FAR);
    let sooner = async {
        while timer.looks_at.load(Ordering::SeqCst) == LOOKING {
            tokio::task::yield_now().await;
        }
        timer.wait_until(clock::now());
        sees_the_end(&mut theirs).await;
    };
    tokio::join!(timer.clone().keep(), sooner);
    assert!(timer.is_overdue());
}

#[tokio::test]
async fn a_parked_task_wakes_and_a_sleeping_one_is_left_asleep() {
    let (_ours, timer, _theirs) = connected().await;
    let ask = async {
        while timer.looks_at.load(Ordering::SeqCst) != PARKED {
            tokio::task::yield_now().await;
        }
        let first = clock::now() + FAR;
        timer.wait_until(first);
        while timer.looks_at.load(Ordering::SeqCst) != first.as_nanos() {
            tokio::task::yield_now().await;
        }
        // What every further request does: the task is not told.
        timer.head_came().unwrap();
        timer.wait_until(first + FAR);
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
    timer.wait_until(clock::now() + FAR);
    timer.end();
    drop(ours);
    sees_the_end(&mut theirs).await;
    timer.clone().keep().await;
    assert_eq!(state(&timer), State::Ended);
    assert!(!timer.is_overdue());
}

/// The head and the time at once, many times: exactly one of them is first.
#[tokio::test]
async fn of_the_head_and_the_time_exactly_one_wins() {
    let (_ours, timer, _theirs) = connected().await;
    let (due, barrier) = (clock::now(), Barrier::new(2));
    for _round in 0..2_000 {
        timer.state.store(State::Waiting(due).pack(), Ordering::SeqCst);
        let (came, looked) = std::thread::scope(|scope| {
            let head = scope.spawn(|| {
                barrier.wait();
                timer.head_came()
            });
            barrier.wait();
            let looked = timer.look(due);
            (head.join().unwrap(), looked)
        });
        match came {
            Ok(()) => {
                assert!(matches!(looked, Next::Park | Next::Expire) && !timer.is_overdue(), "{looked:?}")
            }
            Err(Overdue) => assert!(looked == Next::Stop && timer.is_overdue(), "{looked:?}"),
        }
    }
}
