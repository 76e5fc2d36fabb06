//! The last known sets, on disk, so that a gateway starts and serves while its registry is down.
//!
//! It decides the file's form, its bounds and when it is written. It never decides whether a set is still true:
//! what is loaded is stale by definition.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_discovery_model::{Endpoint, EndpointId, EndpointSet, Health, ServiceName};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::warn;

use crate::ServiceQuery;

const FILE_NAME: &str = "last-known-endpoints.json";
const VERSION: u32 = 1;
/// Above this the file is neither read nor written: 5,000 endpoints take about 1 MiB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The sets kept; beyond it the oldest are dropped.
const SETS_MAX: usize = 10_000;
/// How long changes are gathered before they are written.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// One set and when the registry last changed it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Remembered {
    pub(crate) set: EndpointSet,
    pub(crate) since: SystemTime,
}

/// The sets of one state directory.
#[derive(Debug)]
pub(crate) struct LastKnown {
    path: PathBuf,
    sets: Mutex<HashMap<ServiceQuery, Remembered>>,
    changed: Notify,
}

impl LastKnown {
    /// Reads what an earlier life left in `dir`. A file that cannot be used is ignored with a warning.
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join(FILE_NAME);
        let sets = match read(&path) {
            Ok(sets) => sets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => {
                warn!(path = %path.display(), %error, "last known endpoints cannot be used, starting without them");
                HashMap::new()
            }
        };
        Self { path, sets: Mutex::new(sets), changed: Notify::new() }
    }

    pub(crate) fn recall(&self, query: &ServiceQuery) -> Option<Remembered> {
        self.sets().get(query).cloned()
    }

    /// Remembers `set`; it is on disk a moment later. An empty set is forgotten: there is nothing to fall back to.
    pub(crate) fn remember(&self, query: &ServiceQuery, set: &EndpointSet, since: SystemTime) {
        let mut sets = self.sets();
        if set.is_empty() {
            sets.remove(query);
        } else {
            sets.insert(query.clone(), Remembered { set: set.clone(), since });
        }
        if sets.len() > SETS_MAX {
            let oldest = sets.iter().min_by_key(|(_, known)| known.since).map(|(query, _)| query.clone());
            oldest.and_then(|query| sets.remove(&query));
        }
        drop(sets);
        self.changed.notify_one();
    }

    /// Writes the current sets.
    pub(crate) fn save(&self) -> io::Result<()> {
        let text = encode(&self.sets())?;
        replace(&self.path, &text)
    }

    fn sets(&self) -> MutexGuard<'_, HashMap<ServiceQuery, Remembered>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes every change, gathered, until nobody owns the sets any more.
pub(crate) async fn keep(known: Weak<LastKnown>) {
    loop {
        let Some(held) = known.upgrade() else { return };
        // The owner is let go now and then, or this task would keep the sets alive for ever.
        let changed = tokio::time::timeout(Duration::from_secs(1), held.changed.notified()).await.is_ok();
        if !changed {
            continue;
        }
        tokio::time::sleep(DEBOUNCE).await;
        let path = held.path.clone();
        match tokio::task::spawn_blocking(move || held.save()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(path = %path.display(), %error, "last known endpoints cannot be written");
            }
            Err(error) => warn!(%error, "writing the last known endpoints failed"),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    sets: Vec<SetRecord>,
}

#[derive(Serialize, Deserialize)]
struct SetRecord {
    service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacenter: Option<String>,
    #[serde(default)]
    passing_only: bool,
    /// Unix seconds.
    since: u64,
    endpoints: Vec<EndpointRecord>,
}

#[derive(Serialize, Deserialize)]
struct EndpointRecord {
    id: String,
    address: SocketAddr,
    weight: NonZeroU16,
    health: HealthRecord,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacenter: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HealthRecord {
    Passing,
    Warning,
    Critical,
}

fn encode(sets: &HashMap<ServiceQuery, Remembered>) -> io::Result<Vec<u8>> {
    let mut records: Vec<SetRecord> = sets.iter().map(|(query, known)| record(query, known)).collect();
    records.sort_by(|a, b| (&a.service, &a.tag, &a.datacenter).cmp(&(&b.service, &b.tag, &b.datacenter)));
    let text = serde_json::to_vec(&Document { version: VERSION, sets: records })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{} bytes are more than {FILE_BYTES_MAX}", text.len())));
    }
    Ok(text)
}

fn record(query: &ServiceQuery, known: &Remembered) -> SetRecord {
    let endpoint = |endpoint: &Endpoint| EndpointRecord {
        id: endpoint.id.as_str().to_owned(),
        address: endpoint.address,
        weight: endpoint.weight,
        health: match endpoint.health {
            Health::Passing => HealthRecord::Passing,
            Health::Warning => HealthRecord::Warning,
            Health::Critical => HealthRecord::Critical,
        },
        tags: endpoint.tags.iter().map(|tag| tag.to_string()).collect(),
        meta: endpoint.meta.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        datacenter: endpoint.datacenter.as_deref().map(str::to_owned),
    };
    SetRecord {
        service: query.name.as_str().to_owned(),
        tag: query.tag.as_deref().map(str::to_owned),
        datacenter: query.datacenter.as_deref().map(str::to_owned),
        passing_only: query.passing_only,
        since: known.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        endpoints: known.set.iter().map(endpoint).collect(),
    }
}

fn decode(text: &[u8]) -> io::Result<HashMap<ServiceQuery, Remembered>> {
    let document: Document = serde_json::from_slice(text)?;
    if document.version != VERSION {
        let reason = format!("version {} is not {VERSION}", document.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(document.sets.into_iter().take(SETS_MAX).filter_map(remembered).collect())
}

fn remembered(record: SetRecord) -> Option<(ServiceQuery, Remembered)> {
    let query = ServiceQuery {
        name: ServiceName::new(&record.service).ok()?,
        tag: record.tag.map(Arc::from),
        datacenter: record.datacenter.map(Arc::from),
        passing_only: record.passing_only,
    };
    let endpoint = |record: EndpointRecord| {
        Some(Endpoint {
            id: EndpointId::new(&record.id).ok()?,
            address: record.address,
            weight: record.weight,
            health: match record.health {
                HealthRecord::Passing => Health::Passing,
                HealthRecord::Warning => Health::Warning,
                HealthRecord::Critical => Health::Critical,
            },
            tags: record.tags.into_iter().map(Arc::from).collect(),
            meta: record.meta.into(),
            datacenter: record.datacenter.map(Arc::from),
        })
    };
    let set: EndpointSet = record.endpoints.into_iter().filter_map(endpoint).collect();
    let since = UNIX_EPOCH.checked_add(Duration::from_secs(record.since))?;
    (!set.is_empty()).then_some((query, Remembered { set, since }))
}

fn read(path: &Path) -> io::Result<HashMap<ServiceQuery, Remembered>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    decode(&text)
}

/// Replaces a file so that a crash at any moment leaves the old or the new content, whole.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{endpoint, set};

    fn query(name: &str) -> ServiceQuery {
        ServiceQuery::new(ServiceName::new(name).expect("a name"))
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_saved_is_loaded_again_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let rich = EndpointSet::new(vec![Endpoint {
            weight: NonZeroU16::new(7).expect("7"),
            health: Health::Warning,
            tags: [Arc::from("v2")].into(),
            meta: BTreeMap::from([("zone".to_owned(), "b".to_owned())]).into(),
            datacenter: Some(Arc::from("dc1")),
            ..endpoint(1)
        }]);
        let tagged = ServiceQuery { tag: Some(Arc::from("v2")), passing_only: true, ..query("web") };
        let known = LastKnown::load(&dir.path().join("state"));
        known.remember(&query("web"), &set(&[1, 2]), at(5));
        known.remember(&tagged, &rich, at(6));
        known.save().expect("saved");
        let again = LastKnown::load(&dir.path().join("state"));
        assert_eq!(again.recall(&query("web")), Some(Remembered { set: set(&[1, 2]), since: at(5) }));
        assert_eq!(again.recall(&tagged), Some(Remembered { set: rich, since: at(6) }));
        assert_eq!(again.recall(&query("other")), None);
    }

    #[test]
    fn a_service_that_is_gone_is_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let known = LastKnown::load(dir.path());
        known.remember(&query("web"), &set(&[1]), at(5));
        known.remember(&query("web"), &EndpointSet::default(), at(6));
        known.save().expect("saved");
        assert_eq!(LastKnown::load(dir.path()).recall(&query("web")), None);
    }

    #[test]
    fn a_corrupt_foreign_or_newer_file_is_ignored() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in ["", "{", "[]", "{\"version\":2,\"sets\":[]}", "\u{0}\u{0}"] {
            std::fs::write(dir.path().join(FILE_NAME), text).expect("written");
            assert_eq!(LastKnown::load(dir.path()).recall(&query("web")), None, "{text}");
        }
    }

    #[test]
    fn one_bad_record_costs_only_itself() {
        let good = r#"{"service":"web","since":5,"endpoints":[
            {"id":"e1","address":"10.0.0.1:1","weight":1,"health":"passing"},
            {"id":"","address":"10.0.0.1:2","weight":1,"health":"passing"}]}"#;
        let text = format!(r#"{{"version":1,"sets":[{good},{{"service":"a/b","since":1,"endpoints":[]}}]}}"#);
        let sets = decode(text.as_bytes()).expect("a document");
        assert_eq!(sets.len(), 1);
        assert_eq!(sets.get(&query("web")).map(|known| known.set.clone()), Some(set(&[1])));
    }

    #[test]
    fn an_unwritable_directory_is_an_error_and_no_panic() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "x").expect("written");
        let known = LastKnown::load(&file);
        known.remember(&query("web"), &set(&[1]), at(5));
        assert!(known.save().is_err());
    }

    #[test]
    fn the_number_of_sets_is_bounded_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let known = LastKnown::load(dir.path());
        for count in 0..=SETS_MAX as u64 {
            known.remember(&query(&format!("s{count}")), &set(&[1]), at(count));
        }
        assert_eq!(known.sets().len(), SETS_MAX);
        assert_eq!(known.recall(&query("s0")), None);
    }
}
