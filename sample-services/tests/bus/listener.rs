//! A consumer under test: remembers what it was handed, and refuses what it is told to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use portcullis_sample_services::events::{BadEvent, Bus, Event, Handler, Retry, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What a handler does with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes all.
    Willing,
    /// Refuses each event the first time.
    Reluctant,
    /// Refuses every event.
    Unwilling,
}

#[derive(Debug)]
pub(crate) struct Ear {
    mood: Mood,
    /// Events dealt with, in order.
    heard: Mutex<Vec<Event>>,
    refused: Mutex<HashSet<Uuid>>,
}

/// A consumer that runs until it is stopped.
pub(crate) struct Listener {
    pub(crate) ear: Arc<Ear>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn start(bus: Arc<dyn Bus>, subscription: Subscription, mood: Mood) -> Self {
        let ear = Arc::new(Ear { mood, heard: Mutex::default(), refused: Mutex::default() });
        let handler: Arc<dyn Handler> = Arc::<Ear>::clone(&ear);
        let (stop, stopping) = watch::channel(false);
        #[expect(clippy::disallowed_methods, reason = "`stop` awaits it")]
        let task = tokio::spawn(async move { bus.consume(subscription, handler, stopping).await });
        Self { ear, stop, task }
    }

    pub(crate) async fn stop(self) -> Arc<Ear> {
        self.stop.send(true).unwrap();
        let ended = tokio::time::timeout(super::subject::WAIT, self.task).await;
        assert!(matches!(ended, Ok(Ok(()))), "a consumer stops when it is told to: {ended:?}");
        self.ear
    }
}

impl Ear {
    /// The events in the order in which they were first dealt with; repetitions are left out, as the inbox does.
    pub(crate) fn heard(&self) -> Vec<Event> {
        let mut known = HashSet::new();
        self.heard.lock().unwrap().iter().filter(|event| known.insert(event.id)).cloned().collect()
    }

    /// The numbers of the events of one key, in order.
    pub(crate) fn numbers(&self, key: &str) -> Vec<i64> {
        self.heard().iter().filter(|event| event.key == key).map(|event| event.at_ms).collect()
    }

    pub(crate) fn has_refused(&self, event: &Event) -> bool {
        self.refused.lock().unwrap().contains(&event.id)
    }
}

#[async_trait]
impl Handler for Ear {
    async fn handle(&self, event: &Event) -> Result<(), Retry> {
        let is_new = self.refused.lock().unwrap().insert(event.id);
        let takes = match self.mood {
            Mood::Willing => true,
            Mood::Reluctant => !is_new,
            Mood::Unwilling => false,
        };
        if !takes {
            return Err(Retry { why: "not now".to_owned(), after: Duration::from_millis(10) });
        }
        self.heard.lock().unwrap().push(event.clone());
        Ok(())
    }

    async fn put_aside(&self, _: &[u8], why: &BadEvent) -> Result<(), Retry> {
        panic!("nothing malformed was published: {why}");
    }
}
