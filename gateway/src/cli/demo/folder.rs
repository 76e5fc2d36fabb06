//! The demo's own folder: configuration, state, databases and logs. Removed at the end, unless
//! something went wrong and its logs are worth reading.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::broken::Broken;
use crate::entropy;

/// A fresh folder below the system's place for temporary files, for its owner only.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    keep: bool,
}

impl Folder {
    pub(super) fn make() -> Result<Self, Broken> {
        let root = std::env::temp_dir().join(format!("portcullis-demo-{:016x}", entropy::number()));
        let folder = Self { root, keep: false };
        for path in [folder.root.clone(), folder.logs()] {
            make(&path)?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    pub(super) fn config(&self) -> PathBuf {
        self.root.join("gateway.yaml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folder of a service's database, made if it was not there.
    pub(super) fn data(&self, service: &str) -> Result<PathBuf, Broken> {
        let path = self.root.join("data").join(service);
        make(&path)?;
        Ok(path)
    }

    pub(super) fn write_config(&self, text: &str) -> Result<(), Broken> {
        let path = self.config();
        fs::write(&path, text)
            .map_err(|error| Broken::new(format!("cannot write {}: {error}", path.display())))
    }

    /// The folder stays when the demo ends.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the system's place for temporary files.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

fn make(path: &Path) -> Result<(), Broken> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Broken::new(format!("cannot make the folder {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_the_demo_unless_it_is_kept() {
        let mut folder = Folder::make().unwrap();
        let path = folder.path().to_path_buf();
        folder.write_config("version: 1\n").unwrap();
        drop(std::mem::replace(&mut folder, Folder::make().unwrap()));
        assert!(!path.exists());
        let kept = folder.path().to_path_buf();
        folder.keep();
        drop(folder);
        assert!(kept.exists());
        fs::remove_dir_all(kept).unwrap();
    }
}
