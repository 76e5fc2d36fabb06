//! Paths: one form, the same as in stages and slowly, in which nothing is left for a server to resolve.

use std::borrow::Cow;

use portcullis_core::head::{is_normal, normalize};

/// The input is the path.
pub(crate) fn check(input: &[u8]) {
    let Ok(raw) = std::str::from_utf8(input) else { return };
    let seen = normalize(raw);
    assert_eq!(seen.as_deref().ok(), in_stages(raw).as_deref(), "{raw:?}");
    assert_eq!(is_normal(raw), matches!(seen, Ok(Cow::Borrowed(_))), "{raw:?}");
    let Ok(path) = seen else { return };
    assert!(matches!(normalize(&path), Ok(Cow::Borrowed(same)) if same == path), "{raw:?} -> {path:?}");
    leaves_nothing_to_resolve(&path);
    // What is left when a prefix is cut off at a slash is a path in its one form, too (P18).
    for (at, _) in path.match_indices('/') {
        assert!(is_normal(&path[at..]), "{raw:?} -> {path:?} from {at}");
    }
}

/// No server, whatever it decodes or cuts off first, finds anything but names in it: nobody can climb.
fn leaves_nothing_to_resolve(path: &str) {
    assert!(path.starts_with('/') && path.is_ascii(), "{path:?}");
    assert!(!path.contains("//") && !path.contains(['\\', '?', '#', ';', ' ']), "{path:?}");
    let decoded = decoded(path, |_| true).unwrap_or_default();
    assert_eq!(decoded.matches('/').count(), path.matches('/').count(), "{path:?}");
    assert!(!decoded.chars().any(|c| c.is_ascii_control() || c == '\\'), "{path:?}");
    for segment in decoded.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert!(!matches!(name, "." | ".."), "{path:?}");
        assert!(!name.is_empty() || segment.is_empty(), "{path:?}");
    }
    // Encodings that are left are needed, and have one spelling.
    for (at, _) in path.match_indices('%') {
        let digits = &path[at + 1..at + 3];
        assert!(digits.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F')), "{path:?}");
        let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        assert!(!is_unreserved(byte), "{path:?}");
    }
}

/// The rules of `normalize` one after the other, each on the whole path.
fn in_stages(raw: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_graphic() && !"\"#;<>?\\^{|}".contains(c);
    if !raw.starts_with('/') || !raw.chars().all(is_allowed) {
        return None;
    }
    let decoded = decoded(raw, is_unreserved)?;
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        if let Some((front, _)) = segment.split_once("%3B")
            && matches!(front, "" | "." | "..")
        {
            return None;
        }
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let is_directory = matches!(decoded.rsplit('/').next(), None | Some("" | "." | ".."));
    let path: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    Some(if is_directory { path + "/" } else { path })
}

/// `text` with the bytes that `wanted` names decoded, other digits in upper case; `None` for what is refused.
fn decoded(text: &str, wanted: impl Fn(u8) -> bool) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte < b' ' || matches!(byte, b'/' | b'\\' | 0x7f) {
            return None;
        }
        if wanted(byte) {
            // Latin-1 is as good as any for what only has to be looked at.
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&digits.to_ascii_uppercase());
        }
        out.push_str(&part[2..]);
    }
    Some(out)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
