//! Arrows: which crate may depend on which, read from `cargo metadata`.
//!
//! Two rules: a crate of ours depends only on the crates of ours that ARCHITECTURE.md draws an
//! arrow to; and nothing behind a crate, however deep, is on the list of what it must never reach.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Findings;

/// What one crate of ours may use of ours, and what it must never reach.
struct Rule {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

const NO_RUNTIME: &[&str] = &["tokio", "pingora", "pingora-core", "pingora-proxy", "reqwest", "hyper"];

const RULES: &[Rule] = &[
    Rule {
        name: "portcullis",
        may_use: &[
            "portcullis-core",
            "portcullis-schema",
            "portcullis-allocator",
            "portcullis-prefetch",
            "portcullis-discovery",
            "portcullis-discovery-model",
            "portcullis-plugin-sdk",
            "portcullis-plugin-builtin",
        ],
        never: &["portcullis-loadtest", "portcullis-sample-services", "portcullis-discovery-registry"],
    },
    Rule {
        name: "portcullis-core",
        may_use: &[
            "portcullis-schema",
            "portcullis-prefetch",
            "portcullis-discovery-model",
            "portcullis-plugin-sdk",
        ],
        never: NO_RUNTIME,
    },
    Rule { name: "portcullis-schema", may_use: &[], never: NO_RUNTIME },
    Rule { name: "portcullis-allocator", may_use: &[], never: NO_RUNTIME },
    Rule { name: "portcullis-prefetch", may_use: &[], never: NO_RUNTIME },
    Rule {
        name: "portcullis-discovery",
        may_use: &["portcullis-discovery-model", "portcullis-consul-wire"],
        never: &["pingora", "pingora-core", "portcullis-core"],
    },
    Rule { name: "portcullis-discovery-model", may_use: &[], never: NO_RUNTIME },
    Rule { name: "portcullis-consul-wire", may_use: &[], never: NO_RUNTIME },
    Rule {
        name: "portcullis-discovery-registry",
        may_use: &["portcullis-discovery-model", "portcullis-consul-wire"],
        never: &["pingora", "pingora-core", "portcullis-core"],
    },
    Rule { name: "portcullis-plugin-sdk", may_use: &[], never: NO_RUNTIME },
    Rule { name: "portcullis-plugin-builtin", may_use: &["portcullis-plugin-sdk"], never: NO_RUNTIME },
    Rule {
        name: "portcullis-plugin-example-maintenance",
        may_use: &["portcullis-plugin-sdk"],
        never: NO_RUNTIME,
    },
    Rule {
        name: "portcullis-sample-services",
        may_use: &["portcullis-consul-wire"],
        never: &["pingora", "pingora-core", "portcullis-core"],
    },
    Rule { name: "portcullis-brokers", may_use: &[], never: NO_RUNTIME },
    Rule {
        name: "portcullis-loadtest",
        may_use: &["portcullis-allocator", "portcullis-brokers"],
        never: &["portcullis-core"],
    },
    Rule { name: "xtask", may_use: &["portcullis-schema", "portcullis-plugin-builtin"], never: NO_RUNTIME },
];

/// Every dependency that no arrow allows.
pub(crate) fn check(root: &Path) -> Findings {
    match metadata(root).and_then(|text| graph(&text)) {
        Ok(graph) => judge(&graph),
        Err(error) => vec![error],
    }
}

fn metadata(root: &Path) -> Result<String, String> {
    let cargo = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata could not be started: {error}"))?;
    if !cargo.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&cargo.stderr)));
    }
    String::from_utf8(cargo.stdout).map_err(|error| format!("cargo metadata is not UTF-8: {error}"))
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Normal (not test, not build) dependencies by name.
struct Graph {
    ours: BTreeSet<String>,
    uses: BTreeMap<String, BTreeSet<String>>,
}

fn graph(text: &str) -> Result<Graph, String> {
    let metadata: Metadata =
        serde_json::from_str(text).map_err(|error| format!("cargo metadata is not understood: {error}"))?;
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let name = |id: &str| names.get(id).map_or_else(|| id.to_owned(), |name| (*name).to_owned());
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in &metadata.resolve.nodes {
        let normal = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()));
        uses.entry(name(&node.id)).or_default().extend(normal.map(|dep| name(&dep.pkg)));
    }
    Ok(Graph { ours: metadata.workspace_members.iter().map(|id| name(id)).collect(), uses })
}

fn judge(graph: &Graph) -> Findings {
    let mut findings = Findings::new();
    for name in &graph.ours {
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            findings.push(format!("{name}: a crate without a rule in xtask/src/arrows.rs"));
            continue;
        };
        let direct = graph.uses.get(name).cloned().unwrap_or_default();
        for used in direct.intersection(&graph.ours) {
            if !rule.may_use.contains(&used.as_str()) {
                findings.push(format!("{name} → {used}: no such arrow in ARCHITECTURE.md"));
            }
        }
        let reached = reach(graph, name);
        findings.extend(
            rule.never
                .iter()
                .filter(|never| reached.contains(**never))
                .map(|never| format!("{name} ⇝ {never}: must never be reached from there")),
        );
    }
    findings
}

fn reach(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for used in graph.uses.get(&name).into_iter().flatten() {
            if reached.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrong_sample_is_found_wrong_in_every_way() {
        let graph = graph(include_str!("../fixtures/crossed_arrows.json")).unwrap();
        assert_eq!(
            judge(&graph),
            [
                "newcomer: a crate without a rule in xtask/src/arrows.rs",
                "portcullis-core → portcullis-discovery: no such arrow in ARCHITECTURE.md",
                "portcullis-core ⇝ tokio: must never be reached from there",
            ]
        );
    }

    #[test]
    fn a_dependency_of_tests_is_no_arrow() {
        let text =
            include_str!("../fixtures/crossed_arrows.json").replace("\"kind\": null", "\"kind\": \"dev\"");
        assert_eq!(
            judge(&graph(&text).unwrap()),
            ["newcomer: a crate without a rule in xtask/src/arrows.rs"]
        );
    }
}
