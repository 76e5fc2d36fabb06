//! Reading what `/metrics` says: the Prometheus text format, as far as the gateway writes it.

/// The samples of one scrape.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Samples {
    /// Reads every line that is a sample; what is none is left out.
    pub(super) fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum over all samples of this name that have all these labels; 0 if there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matches = |sample: &&Sample| {
            let has = |wanted: &(&str, &str)| {
                sample.labels.iter().any(|(label, value)| label == wanted.0 && value == wanted.1)
            };
            sample.name == name && labels.iter().all(has)
        };
        self.0.iter().filter(matches).map(|sample| sample.value).sum()
    }
}

/// `name{label="value",…} number`, or without labels.
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.trim_end().rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series.to_owned(), labels: Vec::new(), value });
    };
    let labels = labels(rest.strip_suffix('}')?)?;
    Some(Sample { name: name.to_owned(), labels, value })
}

fn labels(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.push((name.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(labels)
}

/// Text up to the closing quote, with its escapes undone, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP retries_total Retries\n# TYPE retries_total counter\n\
        retries_total{reason=\"idempotency_key\",route=\"payments\"} 3\n\
        retries_total{reason=\"no_byte_sent\",route=\"payments\"} 4\n\
        retries_total{reason=\"no_byte_sent\",route=\"odd\\\"} 9\"} 5\n\
        up 1\nbroken{ 2\n";

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_named() {
        let samples = Samples::read(TEXT);
        assert!((samples.sum("retries_total", &[("route", "payments")]) - 7.0).abs() < f64::EPSILON);
        assert!((samples.sum("retries_total", &[("reason", "idempotency_key")]) - 3.0).abs() < f64::EPSILON);
        assert!((samples.sum("up", &[]) - 1.0).abs() < f64::EPSILON);
        assert!(samples.sum("missing", &[]).abs() < f64::EPSILON);
    }

    #[test]
    fn quotes_and_braces_inside_a_label_do_not_end_it() {
        let samples = Samples::read(TEXT);
        assert!((samples.sum("retries_total", &[("route", "odd\"} 9")]) - 5.0).abs() < f64::EPSILON);
    }
}
