//! `-t` and `-T`: what fingers know from elsewhere.
//!
//! Decides when they stand for `check` and `check --print`: before any verb, wherever among the options.

use std::ffi::OsString;

/// The command line with the verb that `-t` or `-T` stands for.
///
/// `portcullis -t -c FILE`, `portcullis -c FILE -t` and `portcullis -tc FILE` are all `portcullis check -c FILE`. A
/// command line that begins with a verb is left alone: there `-t` would be the verb's.
pub(super) fn spelled_out(arguments: Vec<OsString>) -> Vec<OsString> {
    let begins_with_option =
        arguments.get(1).and_then(|first| first.to_str()).is_some_and(|first| first.starts_with('-'));
    let found = arguments.iter().enumerate().skip(1).find_map(|(idx, argument)| {
        let text = argument.to_str()?;
        let verb: &[&str] = match text.get(..2)? {
            "-t" => &["check"],
            "-T" => &["check", "--print"],
            _ => return None,
        };
        Some((idx, verb, text.get(2..).filter(|rest| !rest.is_empty()).map(|rest| format!("-{rest}"))))
    });
    let Some((idx, verb, rest)) = found.filter(|_| begins_with_option) else { return arguments };
    let mut spelled: Vec<OsString> = arguments.iter().take(1).cloned().collect();
    spelled.extend(verb.iter().map(OsString::from));
    spelled.extend(arguments.iter().take(idx).skip(1).cloned());
    spelled.extend(rest.map(OsString::from));
    spelled.extend(arguments.into_iter().skip(idx + 1));
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, spelled: &str) {
        let arguments = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(spelled_out(arguments(written)), arguments(spelled), "{written}");
    }

    #[test]
    fn t_stands_for_check_wherever_it_stands_among_the_options() {
        check("portcullis -t", "portcullis check");
        check("portcullis -T", "portcullis check --print");
        check("portcullis -t -c a.yaml", "portcullis check -c a.yaml");
        check("portcullis -c a.yaml -t", "portcullis check -c a.yaml");
        check("portcullis -tc a.yaml", "portcullis check -c a.yaml");
        check("portcullis -Tq a.yaml", "portcullis check --print -q a.yaml");
        check("portcullis -T a.yaml --json", "portcullis check --print a.yaml --json");
    }

    #[test]
    fn a_command_line_with_a_verb_is_left_alone() {
        for written in [
            "portcullis",
            "portcullis check -t",
            "portcullis run -c -t",
            "portcullis --help",
            "portcullis -V",
        ] {
            check(written, written);
        }
    }
}
