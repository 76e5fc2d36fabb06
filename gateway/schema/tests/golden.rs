//! One file of `golden/` is one test: `x.yaml` (with its includes in `x.d/`) renders as `x.txt`.
//! `UPDATE=1` rewrites what is expected.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portcullis_schema::{FileSource, Listed, Style, load, render};

struct Golden(PathBuf);

impl FileSource for Golden {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(path)).map_err(|error| io::Error::new(error.kind(), "no such file"))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let entries = fs::read_dir(self.0.join(directory))?;
        Ok(entries
            .flatten()
            .map(|entry| Listed {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: entry.path().is_dir(),
            })
            .collect())
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "UPDATE=1 is how a golden test is told to rewrite")]
fn every_golden_file_renders_as_expected() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let env = BTreeMap::from([("PORT".to_owned(), "s3cret-not-a-port".to_owned())]);
    let update = std::env::var("UPDATE").is_ok();
    let (mut different, mut n_files) = (Vec::new(), 0);
    let mut names: Vec<_> = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")) {
        n_files += 1;
        let name = PathBuf::from(path.file_name().unwrap());
        let loaded = load(&name, &Golden(directory.clone()), &env);
        let shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
        assert!(!shown.contains("s3cret"), "{}: shows what a variable holds", name.display());
        let expected = path.with_extension("txt");
        if update {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            different.push(format!("{}:\n{shown}", name.display()));
        }
    }
    assert!(n_files > 10, "found only {n_files} golden files");
    assert!(different.is_empty(), "not as expected:\n{}", different.join("\n"));
}

#[test]
fn every_example_loads_without_a_finding() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples");
    let mut n_files = 0;
    for entry in fs::read_dir(&directory).unwrap().flatten() {
        if entry.path().extension().is_some_and(|ext| ext == "yaml") {
            n_files += 1;
            let name = PathBuf::from(entry.file_name());
            let loaded = load(&name, &Golden(directory.clone()), &BTreeMap::new());
            let shown = render(&loaded.diagnostics, &loaded.sources, Style::Plain);
            assert!(loaded.diagnostics.is_empty(), "{}:\n{shown}", name.display());
        }
    }
    assert!(n_files >= 4, "found only {n_files} examples");
}
