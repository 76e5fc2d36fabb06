//! What a text from outside may be: one line, of bounded length.
//!
//! Control characters are refused: they mean nothing in a name, forge lines in a terminal, and PostgreSQL
//! keeps no NUL. In JSON Schema the rule is
//! `^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$`.

use crate::problem::Problem;

/// Refuses a text that is empty, longer than `chars_max`, or more than a line. `name` is the member's.
///
/// # Errors
/// 422 with the rule.
pub fn require_line(name: &str, text: &str, chars_max: usize) -> Result<(), Problem> {
    let fits = text.chars().count() <= chars_max;
    if fits && !text.trim().is_empty() && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(Problem::invalid(format!("`{name}` is one line of 1 to {chars_max} characters")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_something_to_see_and_no_control_character() {
        for line in ["a", " a ", "Küchenmesser, 20 cm", &"ü".repeat(10)] {
            assert_eq!(require_line("name", line, 20), Ok(()), "{line}");
        }
        for other in ["", "  ", "a\nb", "a\0b", "\u{85}", &"x".repeat(21)] {
            assert!(require_line("name", other, 20).is_err(), "{other:?}");
        }
    }
}
