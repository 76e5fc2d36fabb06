//! A change in use on trial: not on the disk, and taken back by itself unless somebody confirms it.
//!
//! It is taken back at its deadline, when requests fare worse than before, when somebody asks, and by any restart.

use std::sync::Arc;
use std::time::Duration;

use portcullis_core::confirm::{Margin, Verdict, Window, verdict};
use portcullis_core::units::Moment;
use portcullis_schema::OverlayText;
use thiserror::Error;

use super::Revisions;
use super::notice::{Notice, Reverted};
use super::sample;
use super::store::StoreError;
use crate::clock;
use crate::reload::{Before, Refusal, Session};
use crate::telemetry::names::DURATION_BUCKETS;

/// How often a trial is looked at.
const TICK: Duration = Duration::from_secs(1);

/// A trial that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// How long somebody has to confirm it.
    pub within: Duration,
    /// How much worse requests may fare.
    pub margin: Margin,
}

/// A trial in progress.
#[derive(Debug)]
pub struct Trial {
    text: OverlayText,
    before: Box<Before>,
    deadline: Moment,
    /// The deadline on the wall, since 1970.
    until: Duration,
    margin: Margin,
    /// Requests of the minute before it began.
    past: Window,
    /// The counters as it began.
    began: Window,
    /// Readings taken by then.
    began_after: u64,
}

/// What is told of a trial in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The revision on trial.
    pub revision: u64,
    /// When it is taken back, RFC 3339.
    pub until: String,
}

/// Why a trial goes on as it was.
#[derive(Debug, Error)]
pub enum TrialError {
    /// There is none.
    #[error("no configuration is in use on trial; it may have been reverted already, see the log")]
    None,
    /// It cannot be written down.
    #[error("{0}\nthe configuration stays on trial")]
    Store(#[from] StoreError),
    /// What was before cannot be put back.
    #[error("{0}; the configuration stays on trial and is reverted as soon as that is possible")]
    Refused(Box<Refusal>),
}

impl Trial {
    /// What is told of it.
    #[must_use]
    pub fn pending(&self) -> Pending {
        Pending { revision: self.text.revision, until: clock::rfc3339(self.until) }
    }
}

impl Revisions {
    /// Begins a trial of what was just put into use.
    pub(super) fn try_out(&self, session: &mut Session<'_>, text: OverlayText, before: Before, wish: Wish) {
        let (began, revision) = (self.metrics.requests(), text.revision);
        let trial = Trial {
            text,
            before: Box::new(before),
            deadline: clock::now() + wish.within,
            until: clock::since_epoch().saturating_add(wish.within),
            margin: wish.margin,
            past: began.since(&self.samples.oldest()),
            began,
            began_after: self.samples.taken(),
        };
        tracing::info!(revision, within_s = wish.within.as_secs(), "configuration on trial");
        session.in_use_mut().trial = Some(trial);
        self.count("pending");
        self.notify(Notice::OnTrial { revision });
    }

    /// Makes what is on trial hold. Gives its revision. After its deadline it is taken back instead, also if nobody has
    /// come round to that yet.
    ///
    /// # Errors
    /// Why it stays on trial.
    pub fn confirm(&self) -> Result<u64, TrialError> {
        let mut session = self.reloader.session();
        let Some(trial) = &session.in_use().trial else { return Err(TrialError::None) };
        if clock::now() >= trial.deadline {
            self.take_back(&mut session, Reverted::Deadline)?;
            return Err(TrialError::None);
        }
        let (store, revision) = (self.reloader.store(), trial.text.revision);
        let draft = store.draft(&trial.text)?;
        store.commit(draft, trial.before.overlay())?;
        session.in_use_mut().trial = None;
        tracing::info!(revision, "configuration confirmed");
        self.count("confirmed");
        self.notify(Notice::Confirmed { revision });
        Ok(revision)
    }

    /// Takes back what is on trial. Gives the revision that is in use again.
    ///
    /// # Errors
    /// Why it stays on trial.
    pub fn revert(&self) -> Result<u64, TrialError> {
        self.take_back(&mut self.reloader.session(), Reverted::Asked)
    }

    fn take_back(&self, session: &mut Session<'_>, why: Reverted) -> Result<u64, TrialError> {
        let Some(trial) = session.in_use_mut().trial.take() else { return Err(TrialError::None) };
        match session.put_back(&trial.before) {
            Ok(report) => {
                let revision = trial.text.revision;
                tracing::warn!(revision, %why, "configuration on trial reverted");
                self.count(why.code());
                self.notify(Notice::Reverted { revision, why });
                self.reloader.tell(Ok(report));
                Ok(trial.before.revision())
            }
            Err(refusal) => {
                session.in_use_mut().trial = Some(trial);
                tracing::error!(reason = %refusal, "a configuration on trial cannot be reverted yet");
                Err(TrialError::Refused(Box::new(refusal)))
            }
        }
    }

    /// Looks at what is on trial, if anything is.
    fn look(&self) {
        let mut session = self.reloader.session();
        let Some(trial) = &session.in_use().trial else { return };
        let why = if clock::now() >= trial.deadline {
            Some(Reverted::Deadline)
        } else {
            self.judge(trial).map(Reverted::Worse)
        };
        if let Some(why) = why {
            // The error is in the log, and the next look tries again.
            let _ = self.take_back(&mut session, why);
        }
    }

    /// Over the whole trial, and over its last minute: what turns bad late must not drown in what was good.
    fn judge(&self, trial: &Trial) -> Option<portcullis_core::confirm::Worse> {
        let now = self.metrics.requests();
        let whole = now.since(&trial.began);
        let last = self.samples.oldest_after(trial.began_after).map(|oldest| now.since(&oldest));
        [Some(whole), last].into_iter().flatten().find_map(|window| {
            match verdict(&trial.past, &window, &DURATION_BUCKETS, trial.margin) {
                Verdict::Revert(worse) => Some(worse),
                Verdict::Keep | Verdict::Undecided => None,
            }
        })
    }

    /// Reads the histograms now and then and looks at what is on trial, for as long as the process lives.
    pub async fn watch(self: Arc<Self>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reading_due = clock::now();
        loop {
            tick.tick().await;
            let now = clock::now();
            if now >= reading_due {
                self.samples.keep(self.metrics.requests());
                reading_due = now + sample::INTERVAL;
            }
            if self.reloader.standing().pending.is_none() {
                continue;
            }
            let revisions = self.clone();
            if tokio::task::spawn_blocking(move || revisions.look()).await.is_err() {
                tracing::error!("looking at the configuration on trial ended in a panic");
            }
        }
    }

    fn count(&self, result: &str) {
        self.metrics.trials.with_label_values(&[result]).inc();
    }
}
