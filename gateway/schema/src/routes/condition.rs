//! What a header or query parameter must be for a route to match.

use serde_json::{Value, json};

use crate::codes::Code;
use crate::decode::{Decode, Decoder, keys};
use crate::span::At;
use crate::yaml::{Kind, Node};

keys! {
    /// What a header or query parameter must be. Short form: exactly this value.
    pub struct Condition is "a condition" {
        /// Exactly this value.
        key is: Option<At<String>>,
        /// The whole value matches this regular expression.
        key regex: Option<At<String>>,
        /// `true`: it is there, with any value. `false`: it is not there.
        key present: Option<At<bool>>,
    }
    short condition_from_text as condition_text;
    check check_condition;
}

fn condition_from_text(node: &Node, decoder: &mut Decoder<'_>) -> Option<Option<Condition>> {
    let Kind::Scalar(_) = &node.kind else { return None };
    let is = <At<String>>::decode(node, decoder);
    Some(is.map(|is| Condition { is: Some(is), ..Condition::default() }))
}

fn condition_text() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn check_condition(condition: &Condition, node: &Node, decoder: &mut Decoder<'_>) {
    let n_set = [condition.is.is_some(), condition.regex.is_some(), condition.present.is_some()]
        .into_iter()
        .filter(|set| *set)
        .count();
    if n_set != 1 && !decoder.sink.covers(node.at) {
        let message = "a condition has one of `is`, `regex` or `present`".to_owned();
        decoder.error(Code::Exclusive, node.named, message, "exactly one", None);
    }
}
