//! Builds the tree from the parser's events, within bounds.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};

use super::{Key, Kind, Node, Scalar};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Sink};
use crate::span::{FileId, Span};

/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 64;
/// Most values one file may hold once its aliases are expanded: keeps a billion laughs short.
const NODES_MAX: usize = 2_000_000;
/// Most values that aliases may add; a configuration has no reason to repeat more.
const ALIASED_NODES_MAX: usize = 100_000;

/// Reads one file. `None` when nothing of it could be used; what was wrong has been reported.
pub(crate) fn parse(file: FileId, text: &str, sink: &mut Sink) -> Option<Node> {
    if let Some(finding) = stray_return(file, text) {
        sink.push(finding);
        return None;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder =
        Builder { file, sink, stack: Vec::new(), anchors: HashMap::new(), root: None, n: Counts::default() };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => builder.event(event, &span)?,
            Err(error) => {
                report_scan_error(file, text, &error, builder.sink);
                return None;
            }
        }
    }
    let nothing = Span { file, line: 1, column: 1, ..Span::default() };
    Some(builder.root.unwrap_or(Node { at: nothing, named: nothing, kind: Kind::Map(Vec::new()) }))
}

#[derive(Default)]
struct Counts {
    documents: usize,
    nodes: usize,
    aliased: usize,
}

struct Builder<'s> {
    file: FileId,
    sink: &'s mut Sink,
    stack: Vec<Frame>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    n: Counts,
}

/// A list or map that is still open.
struct Frame {
    at: Span,
    anchor: usize,
    /// Ends with its own bracket, not with its last child.
    flow: bool,
    nodes_before: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, places: Places, key: Option<PendingKey> },
}

/// A key whose value has not come yet.
enum PendingKey {
    /// Goes into the map.
    New(Key),
    /// Has been reported; its value is dropped.
    Refused,
}

impl Builder<'_> {
    /// Takes one event. `None` ends the parse.
    fn event(&mut self, event: Event<'_>, span: &granit_parser::Span) -> Option<()> {
        let at = place(self.file, span);
        match event {
            Event::DocumentStart(..) => {
                self.n.documents += 1;
                if self.n.documents > 1 {
                    self.error(
                        Code::SeveralDocuments,
                        at,
                        "a second document starts here",
                        "one document to a file",
                    );
                    return None;
                }
                Some(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = self.scalar(&text, style, tag, at);
                self.node(Node { at, named: at, kind: Kind::Scalar(scalar) }, anchor, 1)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag, at);
                self.open(at, anchor, style, Open::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag, at);
                let map = Open::Map { entries: Vec::new(), places: Places::default(), key: None };
                self.open(at, anchor, style, map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
            Event::Alias(id) => self.alias(id, at),
            Event::UnresolvedAlias(name) => {
                let diagnostic =
                    Diagnostic::new(Code::UnknownAlias, format!("nothing is marked `&{name}` before this"))
                        .label(at, "no such anchor")
                        .help(format!("if it is not an alias, quote it: `\"*{name}\"`"));
                self.sink.push(diagnostic);
                let scalar = Scalar { text: format!("*{name}"), written: None, plain: false, lost: true };
                self.node(Node { at, named: at, kind: Kind::Scalar(scalar) }, 0, 1)
            }
            // What is left are stream marks and presentation; the parser's enum is open.
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::Comment(..)
            | _ => Some(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<Cow<'_, Tag>>, at: Span) -> Scalar {
        let as_text = tag.as_deref().is_some_and(|tag| tag.core_suffix() == Some("str"));
        if !as_text {
            self.refuse_tag(tag, at);
        }
        Scalar {
            text: text.to_owned(),
            written: None,
            plain: style == ScalarStyle::Plain && !as_text,
            lost: false,
        }
    }

    fn refuse_tag(&mut self, tag: Option<Cow<'_, Tag>>, at: Span) {
        if let Some(tag) = tag {
            let message = format!("the tag `{}` is not part of the language", tag.original());
            self.error(Code::UnsupportedYaml, at, &message, "tagged");
        }
    }

    fn open(&mut self, at: Span, anchor: usize, style: StructureStyle, open: Open) -> Option<()> {
        if self.stack.len() >= DEPTH_MAX {
            self.error(Code::TooDeep, at, &format!("nested deeper than {DEPTH_MAX} levels"), "too deep");
            return None;
        }
        let flow = style == StructureStyle::Flow;
        self.stack.push(Frame { at, anchor, flow, nodes_before: self.n.nodes, open });
        Some(())
    }

    fn close(&mut self, end: Span) -> Option<()> {
        let frame = self.stack.pop()?;
        let (kind, last) = match frame.open {
            Open::List(items) => {
                let last = items.last().map(|item| item.at);
                (Kind::List(items), last)
            }
            Open::Map { entries, .. } => {
                let last = entries.last().map(|(_, value)| value.at);
                (Kind::Map(entries), last)
            }
        };
        let last_end = if frame.flow { end.end } else { last.map_or(frame.at.end, |last| last.end) };
        let at = Span { end: last_end.max(frame.at.start), ..frame.at };
        let size = self.n.nodes - frame.nodes_before + 1;
        self.node(Node { at, named: at, kind }, frame.anchor, size)
    }

    fn alias(&mut self, id: usize, at: Span) -> Option<()> {
        let Some((node, size)) = self.anchors.get(&id) else {
            self.error(Code::UnknownAlias, at, "an alias inside of what it repeats", "repeats itself");
            return None;
        };
        self.n.aliased += size;
        self.n.nodes += size - 1;
        if self.n.aliased > ALIASED_NODES_MAX {
            let message = format!("aliases repeat more than {ALIASED_NODES_MAX} values");
            self.error(Code::TooLarge, at, &message, "the bound is reached here");
            return None;
        }
        let mut node = node.clone();
        (node.at, node.named) = (at, at);
        self.node(node, 0, 1)
    }

    /// Puts a finished node where it belongs.
    fn node(&mut self, mut node: Node, anchor: usize, size: usize) -> Option<()> {
        self.n.nodes += 1;
        if self.n.nodes > NODES_MAX {
            self.error(
                Code::TooLarge,
                node.at,
                &format!("more than {NODES_MAX} values"),
                "the bound is reached here",
            );
            return None;
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return Some(());
        };
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, places, key } => match key.take() {
                None => {
                    let (pending, finding) = take_key(node, entries, places);
                    *key = Some(pending);
                    self.sink.extend(finding);
                }
                Some(PendingKey::New(written)) => {
                    node.named = written.at;
                    entries.push((written, node));
                }
                Some(PendingKey::Refused) => {}
            },
        }
        Some(())
    }

    fn error(&mut self, code: Code, at: Span, message: &str, label: &str) {
        self.sink.push(Diagnostic::new(code, message).label(at, label));
    }
}

fn take_key(node: Node, entries: &[(Key, Node)], places: &mut Places) -> (PendingKey, Option<Diagnostic>) {
    let Kind::Scalar(scalar) = node.kind else {
        let finding =
            Diagnostic::new(Code::UnsupportedYaml, "a list or map as a key").label(node.at, "not a key");
        return (PendingKey::Refused, Some(finding));
    };
    if let Some(first) = places.find(&scalar.text, entries) {
        let finding =
            Diagnostic::new(Code::DuplicateKey, format!("the key `{}` is written twice", scalar.text))
                .label(node.at, "again here")
                .label(first, "first here");
        return (PendingKey::Refused, Some(finding));
    }
    (PendingKey::New(Key { text: scalar.text, at: node.at }), None)
}

/// Where the keys of one map stand. Most maps are small, and small ones are looked through.
#[derive(Default)]
struct Places {
    /// The first so many entries by key, once there are more than [`Places::SMALL`].
    by_key: HashMap<String, Span>,
}

impl Places {
    const SMALL: usize = 32;

    fn find(&mut self, key: &str, entries: &[(Key, Node)]) -> Option<Span> {
        if entries.len() <= Self::SMALL {
            return entries.iter().find(|(seen, _)| seen.text == key).map(|(seen, _)| seen.at);
        }
        let new = entries.iter().skip(self.by_key.len());
        self.by_key.extend(new.map(|(seen, _)| (seen.text.clone(), seen.at)));
        self.by_key.get(key).copied()
    }
}

/// The first carriage return without a line feed. YAML ends a line there and most editors do not: what is behind it
/// would be read by us and not be seen by whoever reviews the file.
fn stray_return(file: FileId, text: &str) -> Option<Diagnostic> {
    let bytes = text.as_bytes();
    let start = text.match_indices('\r').map(|(at, _)| at).find(|at| bytes.get(at + 1) != Some(&b'\n'))?;
    let finding = Diagnostic::new(Code::Syntax, "a carriage return without a line feed")
        .label(Span::within(file, text, start, start + 1), "ends a line, but only for some programs")
        .help("end lines with a line feed, or with both");
    Some(finding)
}

fn place(file: FileId, span: &granit_parser::Span) -> Span {
    let range = span.byte_range().unwrap_or(0..0);
    Span {
        file,
        start: small(range.start),
        end: small(range.end.max(range.start)),
        line: small(span.start.line()),
        column: small(span.start.col()).saturating_add(1),
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn report_scan_error(file: FileId, text: &str, error: &ScanError, sink: &mut Sink) {
    let mark = error.marker();
    let start = mark.byte_offset().unwrap_or(0).min(text.len());
    let width = text
        .get(start..)
        .and_then(|rest| rest.chars().next())
        .filter(|c| *c != '\n')
        .map_or(0, char::len_utf8);
    let (start, end) = (small(start), small(start + width));
    let at = Span {
        file,
        start,
        end,
        line: small(mark.line()).max(1),
        column: small(mark.col()).saturating_add(1),
    };
    let line = text.lines().nth(mark.line().saturating_sub(1)).unwrap_or("");
    let (code, message, help) = if is_tab(error.kind()) || line.trim_start_matches(' ').starts_with('\t') {
        (Code::Tab, "a tab where only spaces may stand".to_owned(), Some("indent with spaces"))
    } else if *error.kind() == ErrorKind::RecursionLimitExceeded {
        (Code::TooDeep, format!("nested deeper than {DEPTH_MAX} levels"), None)
    } else if *error.kind() == ErrorKind::DirectiveDisallowed {
        (Code::UnsupportedYaml, error.info(), Some("remove the line that starts with `%`"))
    } else if line.contains("${") {
        (Code::Syntax, error.info(), Some("quote a variable inside `{…}` and `[…]`: \"${NAME}\""))
    } else {
        (Code::Syntax, error.info(), None)
    };
    let mut finding = Diagnostic::new(code, message).label(at, "cannot be read from here");
    finding.help = help.map(str::to_owned);
    sink.push(finding);
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}
