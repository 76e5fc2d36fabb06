//! Telling the story: what each step is about, what it saw, and whether it held.

use std::fmt::Display;
use std::time::Duration;

use portcullis_core::units::Moment;
use portcullis_schema::Style;
use serde_json::{Value, json};

use crate::cli::{complain, print, style_of};
use crate::clock;

/// Where the story goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// People, on standard output.
    People,
    /// A program reads standard output; people may watch standard error.
    Program,
}

/// Tells steps as they happen and remembers them.
#[derive(Debug)]
pub(super) struct Narrator {
    audience: Audience,
    style: Style,
    steps: Vec<Told>,
}

#[derive(Debug)]
struct Told {
    title: &'static str,
    facts: Vec<String>,
    began: Moment,
    took: Option<Duration>,
    broken: Option<String>,
}

/// How a word is set off.
#[derive(Debug, Clone, Copy)]
enum Tone {
    Title,
    Good,
    Bad,
}

impl Narrator {
    pub(super) fn new(audience: Audience) -> Self {
        let style = match audience {
            Audience::People => style_of(&std::io::stdout()),
            Audience::Program => style_of(&std::io::stderr()),
        };
        Self { audience, style, steps: Vec::new() }
    }

    /// A line beside the steps.
    pub(super) fn say(&self, text: impl Display) {
        match self.audience {
            Audience::People => print(&format!("{text}\n")),
            Audience::Program => complain(&format!("{text}\n")),
        }
    }

    /// A new step.
    pub(super) fn begin(&mut self, title: &'static str) {
        let n = self.steps.len() + 1;
        self.say(format_args!("\n{}", self.toned(Tone::Title, &format!("{n:>2}  {title}"))));
        self.steps.push(Told { title, facts: Vec::new(), began: clock::now(), took: None, broken: None });
    }

    /// What the step just saw.
    pub(super) fn fact(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.say(format_args!("      {text}"));
        if let Some(step) = self.steps.last_mut() {
            step.facts.push(text);
        }
    }

    /// The step held.
    pub(super) fn held(&mut self) {
        let took = self.end(None);
        self.say(format_args!("    {} {}", self.toned(Tone::Good, "✔"), Seconds(took)));
    }

    /// The step did not hold.
    pub(super) fn broke(&mut self, what: &str) {
        let took = self.end(Some(what.to_owned()));
        self.say(format_args!("    {} after {}: {what}", self.toned(Tone::Bad, "✘"), Seconds(took)));
    }

    fn end(&mut self, broken: Option<String>) -> Duration {
        let Some(step) = self.steps.last_mut() else { return Duration::ZERO };
        let took = clock::now().saturating_since(step.began);
        step.took = Some(took);
        step.broken = broken;
        took
    }

    /// Steps that held.
    pub(super) fn n_held(&self) -> usize {
        self.steps.iter().filter(|step| step.took.is_some() && step.broken.is_none()).count()
    }

    /// The story for a program, on standard output.
    pub(super) fn report(&self, held: Held) {
        match self.audience {
            Audience::People => {}
            Audience::Program => print(&format!("{:#}\n", self.to_json(held))),
        }
    }

    fn to_json(&self, held: Held) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Told::to_json).collect();
        json!({ "held": held == Held::Wholly, "steps": steps })
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Title => "1",
            Tone::Good => "1;32",
            Tone::Bad => "1;31",
        };
        match self.style {
            Style::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Style::Plain => text.to_owned(),
        }
    }
}

/// Whether the story was told to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Wholly,
    NotWholly,
}

impl Told {
    fn to_json(&self) -> Value {
        json!({
            "title": self.title,
            "held": self.took.is_some() && self.broken.is_none(),
            "seconds": self.took.map(|took| took.as_secs_f64()),
            "facts": self.facts,
            "instead": self.broken,
        })
    }
}

/// A time as people read it: `12 ms`, `1.84 s`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 0.01 {
            write!(f, "{:.1} ms", seconds * 1e3)
        } else if seconds < 1.0 {
            write!(f, "{:.0} ms", seconds * 1e3)
        } else {
            write!(f, "{seconds:.2} s")
        }
    }
}

/// A long secret, shortened: enough to recognise, too little to use.
pub(super) fn shortened(secret: &str) -> String {
    const SHOWN: usize = 12;
    let n_chars = secret.chars().count();
    if n_chars <= 2 * SHOWN {
        return "…".to_owned();
    }
    let start: String = secret.chars().take(SHOWN).collect();
    format!("{start}… ({n_chars} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_the_digits_that_matter() {
        let written = |micros| Seconds(Duration::from_micros(micros)).to_string();
        assert_eq!(written(1_240), "1.2 ms");
        assert_eq!(written(84_000), "84 ms");
        assert_eq!(written(1_844_000), "1.84 s");
    }

    #[test]
    fn a_shortened_secret_is_of_no_use() {
        assert_eq!(shortened("0123456789abcdef0123456789"), "0123456789ab… (26 characters)");
        assert_eq!(shortened("0123456789abcdef01234567"), "…");
    }

    #[test]
    fn a_step_that_never_ended_did_not_hold() {
        let mut narrator = Narrator::new(Audience::Program);
        narrator.begin("one");
        narrator.held();
        narrator.begin("two");
        assert_eq!(narrator.n_held(), 1);
        let report = narrator.to_json(Held::NotWholly);
        assert_eq!(report["steps"][1]["held"], false);
        assert_eq!(report["held"], false);
    }
}
