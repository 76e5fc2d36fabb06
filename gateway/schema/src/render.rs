//! Findings as text for a terminal: header, excerpt with the place underlined, help, and a count at the end.

use std::fmt::{self, Write as _};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceSpan,
    SpanContents,
};

use crate::diagnostic::{Diagnostic, Severity};
use crate::span::{SourceFile, Sources, Span};

/// Columns of a rendered finding.
const WIDTH: usize = 110;
/// A place further right than this is named, not shown.
const COLUMN_MAX: u32 = 200;
/// Places of one finding that lie further apart than this are not shown together.
const LINES_MAX: usize = 200;

/// How findings look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// No colour: for pipes, files and tests.
    #[default]
    Plain,
    /// With ANSI colours.
    Colour,
}

/// Renders findings in the order given, with a line at the end that counts them. Nothing for none.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        render_one(diagnostic, sources, style, &mut out);
        out.push('\n');
    }
    if !diagnostics.is_empty() {
        out.push_str(&count(diagnostics));
        out.push('\n');
    }
    out
}

/// `8 errors, 1 warning`.
pub fn count(diagnostics: &[Diagnostic]) -> String {
    let n_errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let n_warnings = diagnostics.len() - n_errors;
    let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (n_errors, n_warnings) {
        (_, 0) => counted(n_errors, "error"),
        (0, _) => counted(n_warnings, "warning"),
        (_, _) => format!("{}, {}", counted(n_errors, "error"), counted(n_warnings, "warning")),
    }
}

fn render_one(diagnostic: &Diagnostic, sources: &Sources, style: Style, out: &mut String) {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (on, off) = match (style, diagnostic.severity) {
        (Style::Plain, _) => ("", ""),
        (Style::Colour, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
        (Style::Colour, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
    };
    let _ =
        writeln!(out, "{on}{word}[{}]{off}: {}", diagnostic.code.as_str(), printable(&diagnostic.message));
    let theme = match style {
        Style::Plain => GraphicalTheme::unicode_nocolor(),
        Style::Colour => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_context_lines(1)
        .with_links(false)
        .without_cause_chain()
        .with_primary_span_start()
        .without_syntax_highlighting();
    let main_file = diagnostic.at().and_then(|at| sources.get(at.file));
    let report = Report { diagnostic, window: main_file.and_then(|file| Window::around(diagnostic, file)) };
    let mut text = String::new();
    if report.window.is_some() && handler.render_report(&mut text, &report).is_ok() {
        // The handler's own header is an icon and the message; ours stands above already.
        let body = text.trim_start_matches('\n').split_once('\n').map_or("", |(_, body)| body);
        for line in body.lines().filter(|line| !line.trim().is_empty()) {
            let _ = writeln!(out, "{}", line.trim_end());
        }
    } else if let (Some(at), Some(file)) = (diagnostic.at(), main_file) {
        let _ = writeln!(out, "   ╭─[{}:{}:{}]", file.path.display(), at.line, at.column);
    }
    let elsewhere =
        diagnostic.labels.iter().filter(|label| diagnostic.at().is_some_and(|at| at.file != label.at.file));
    for label in elsewhere {
        let (path, at) = (sources.path(label.at.file).display(), label.at);
        let _ = writeln!(out, "  {}: {path}:{}:{}", printable(&label.text), at.line, at.column);
    }
    if let Some(help) = &diagnostic.help {
        help_lines(&printable(help), style, out);
    }
}

/// The help, broken at blanks only, so that what stands in backquotes can be copied.
fn help_lines(help: &str, style: Style, out: &mut String) {
    let (on, off) = match style {
        Style::Plain => ("", ""),
        Style::Colour => ("\x1b[36m", "\x1b[0m"),
    };
    let _ = write!(out, "  {on}help:{off}");
    let mut width = "  help:".len();
    for word in help.split(' ') {
        let length = word.chars().count() + 1;
        if width + length > WIDTH {
            out.push_str("\n       ");
            width = "       ".len();
        }
        out.push(' ');
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}

/// Control characters of a file would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The lines of a file around a finding, so that the handler does not walk through all of a large file.
#[derive(Debug)]
struct Window {
    name: String,
    text: String,
    /// Lines of the file before the window.
    lines_before: usize,
    /// For each line: where it starts in the file and in the window.
    starts: Vec<(usize, usize)>,
}

impl Window {
    fn around(diagnostic: &Diagnostic, file: &SourceFile) -> Option<Self> {
        let main = diagnostic.at()?;
        let here = || diagnostic.labels.iter().map(|label| label.at).filter(|at| at.file == main.file);
        let first_line = here().map(|at| at.line as usize).min()?.saturating_sub(2);
        let last_line = here().map(|at| at.line as usize).max()? + 1;
        if here().any(|at| at.column > COLUMN_MAX) || last_line - first_line > LINES_MAX {
            return None;
        }
        let name = file.path.display().to_string();
        let mut window = Self { name, text: String::new(), lines_before: first_line, starts: Vec::new() };
        let mut offset = 0;
        for (idx, line) in file.text.split_inclusive('\n').enumerate().take(last_line) {
            if idx >= first_line {
                window.starts.push((offset, window.text.len()));
                // One byte for another, so that places keep their meaning.
                let kept = line.trim_end_matches(['\n', '\r']).chars().take(COLUMN_MAX as usize);
                window.text.extend(kept.map(|c| if c.is_ascii_control() && c != '\t' { ' ' } else { c }));
                window.text.push('\n');
            }
            offset += line.len();
        }
        Some(window)
    }

    /// A place inside the window, cut at the end of its first line.
    fn span(&self, at: Span) -> SourceSpan {
        let line = self.starts.get((at.line as usize).saturating_sub(self.lines_before + 1));
        let (in_file, in_window) = line.copied().unwrap_or_default();
        let start = (in_window + (at.start as usize).saturating_sub(in_file)).min(self.text.len());
        let line_end =
            self.text.get(start..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |n| start + n);
        let end = start.saturating_add(at.end.saturating_sub(at.start) as usize).clamp(start, line_end);
        let length = self.text.get(start..end).map_or(0, |covered| covered.trim_end().len());
        (start, length).into()
    }
}

impl miette::SourceCode for Window {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.as_str().read_span(span, lines_before, lines_after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.lines_before,
            inner.column(),
            inner.line_count(),
        )))
    }
}

/// A finding in the form that the handler takes.
#[derive(Debug)]
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    window: Option<Window>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("-")
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.window.as_ref().map(|window| window as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let window = self.window.as_ref()?;
        let main = self.diagnostic.at()?;
        let labels =
            self.diagnostic.labels.iter().enumerate().filter(move |(_, label)| label.at.file == main.file);
        Some(Box::new(labels.map(move |(idx, label)| {
            let text = Some(printable(&label.text));
            if idx == 0 {
                LabeledSpan::new_primary_with_span(text, window.span(label.at))
            } else {
                LabeledSpan::new_with_span(text, window.span(label.at))
            }
        })))
    }
}
