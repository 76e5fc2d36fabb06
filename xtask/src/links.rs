//! Links between the Markdown pages of the project: each leads to a file that is there, and to a heading that it has.
//!
//! Nothing is asked of the network: links to elsewhere are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::Findings;
use crate::source::{self, Source};

/// Every relative link that leads nowhere.
pub(crate) fn check(root: &Path) -> Findings {
    judge(&source::files(root, "md"), &|path| root.join(path).exists())
}

fn judge(pages: &[Source], exists: &dyn Fn(&Path) -> bool) -> Findings {
    let anchors: BTreeMap<&Path, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_path(), anchors(&page.text))).collect();
    let mut findings = Findings::new();
    for page in pages {
        for link in links(&page.text) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.path.clone() } else { beside(&page.path, path) };
            let is_known = anchors.get(target.as_path()).is_none_or(|known| known.contains(anchor));
            if !exists(&target) {
                findings.push(format!("{}: `{link}` leads to no file", page.path.display()));
            } else if !anchor.is_empty() && !is_known {
                findings.push(format!("{}: `{link}` leads to no heading", page.path.display()));
            }
        }
    }
    findings
}

/// What a link of a page means, from the root.
fn beside(page: &Path, link: &str) -> PathBuf {
    let mut target = page.parent().map(Path::to_path_buf).unwrap_or_default();
    for step in Path::new(link).components() {
        match step {
            Component::ParentDir if target.pop() => {}
            Component::CurDir => {}
            other => target.push(other),
        }
    }
    target
}

/// The relative links of a page. What is shown as code links to nothing.
fn links(text: &str) -> Vec<String> {
    let prose: String =
        outside_code(text).flat_map(|line| line.split('`').step_by(2).chain(["\n"])).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|link| !link.contains("://") && !link.starts_with("mailto:")).map(str::to_owned).collect()
}

/// The lines of a page that are in no code block.
fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code
    })
}

/// The places that headings make, as code hosts name them; a second heading of one name is counted.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut met = BTreeMap::<String, u32>::new();
    let headings = outside_code(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            let name: String =
                kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
            let n_before = met.entry(name.clone()).or_default();
            *n_before += 1;
            if *n_before == 1 { name } else { format!("{name}-{}", *n_before - 1) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pages: &[(&str, &str)]) -> Findings {
        let page = |(path, text): &(&str, &str)| Source { path: path.into(), text: (*text).to_owned() };
        let pages: Vec<Source> = pages.iter().map(page).collect();
        judge(&pages, &|path| pages.iter().any(|page| page.path == path))
    }

    #[test]
    fn a_link_leads_to_a_page_and_a_heading() {
        let index = "[a](docs/a.md#two-words) [b](docs/a.md) [c](https://example.com/x#y) [`d`](#top)\n# Top";
        let page = "# `Two` words?\n## Again\n## Again\n[up](../README.md#top) [second](#again-1)\n";
        assert_eq!(check(&[("README.md", index), ("docs/a.md", page)]), Findings::new());
    }

    #[test]
    fn a_link_to_nowhere_is_a_finding_and_code_is_none() {
        let page = "[a](b.md) [c](#d) `[e](f.md)`\n```\n# d\n[g](h.md)\n```\n# e";
        let found = check(&[("docs/a.md", page)]);
        assert_eq!(found, ["docs/a.md: `b.md` leads to no file", "docs/a.md: `#d` leads to no heading"]);
    }
}
