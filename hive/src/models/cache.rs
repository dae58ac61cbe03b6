//! The ordinary Hugging Face cache on this machine, as far as GGUF files are
//! concerned: where things are in it, and what is there.
//!
//! ```text
//! hub/models--org--name/refs/main                    a commit
//!                      /snapshots/<commit>/x.gguf ─▶ ../../blobs/<sha256>
//!                      /blobs/<sha256>.sync.part     what is not all there
//! ```
//!
//! Other tools write here as well. What a link points to outside of the cache
//! does not exist for us, and everything is counted against a limit.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use protocol::ModelRef;

use super::select;

const REPOS_MAX: usize = 10_000;
const SNAPSHOTS_MAX: usize = 100;
const ENTRIES_MAX: usize = 10_000;
/// Places that are looked at again and again; what is behind the last of them
/// is noticed by the next scan.
const PLACES_MAX: usize = 20_000;
/// Folders inside a repository.
const DEPTH_MAX: usize = 4;
/// How hf-hub calls a blob that is not all there.
const PART_ENDING: &str = ".sync.part";
/// hf-hub keeps how far it is behind the bytes themselves.
const MARK_BYTES: u64 = 8;

/// A place where models are kept in the layout of the hub's own tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubCache {
    root: PathBuf,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    /// Inside the repository.
    pub(crate) name: String,
    pub(crate) commit: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// When it was last written to.
    pub(crate) changed: Option<SystemTime>,
}

/// A model in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) repo: String,
    pub(crate) files: Vec<FoundFile>,
    /// Whether all its parts are there.
    pub(crate) is_whole: bool,
}

impl HubCache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn repo_dir(&self, repo: &str) -> PathBuf {
        // The name was parsed: two plain components and one slash.
        self.root.join(format!("models--{}", repo.replace('/', "--")))
    }

    pub(crate) fn blob(&self, repo: &str, sha256: &str) -> PathBuf {
        self.repo_dir(repo).join("blobs").join(sha256)
    }

    /// Where hf-hub writes until a blob is all there.
    pub(crate) fn part(&self, repo: &str, sha256: &str) -> PathBuf {
        self.repo_dir(repo).join("blobs").join(format!("{sha256}{PART_ENDING}"))
    }

    pub(crate) fn pointer(&self, repo: &str, commit: &str, name: &str) -> PathBuf {
        self.repo_dir(repo).join("snapshots").join(commit).join(name)
    }

    /// How much of a blob of `bytes` bytes is here and need not be fetched
    /// again.
    pub(crate) fn committed(&self, repo: &str, sha256: &str, bytes: u64) -> u64 {
        let read = || -> io::Result<u64> {
            let mut file = fs::File::open(self.part(repo, sha256))?;
            if file.metadata()?.len() != bytes + MARK_BYTES {
                return Ok(0);
            }
            file.seek(SeekFrom::Start(bytes))?;
            let mut mark = [0; MARK_BYTES as usize];
            file.read_exact(&mut mark)?;
            Ok(u64::from_le_bytes(mark).min(bytes))
        };
        read().unwrap_or_default()
    }

    pub(crate) fn has_part(&self, repo: &str, sha256: &str) -> bool {
        self.part(repo, sha256).exists()
    }

    /// What others of this process or another hold while they write a blob.
    pub(crate) fn lock(&self, repo: &str, blob: &str) -> PathBuf {
        self.repo_dir(repo).join("blobs").join(format!("{blob}.lock"))
    }

    /// Every unfinished blob: its repository, its name and when it was last
    /// written to.
    pub(crate) fn parts(&self) -> Vec<(String, String, SystemTime)> {
        let repos = entries(&self.root, REPOS_MAX);
        let repos = repos.iter().filter_map(|(name, _)| repo_of(name));
        let parts = repos.flat_map(|repo| {
            let blobs = entries(&self.repo_dir(&repo).join("blobs"), ENTRIES_MAX);
            blobs.into_iter().filter_map(move |(name, changed)| {
                let blob = name.strip_suffix(PART_ENDING)?;
                Some((repo.clone(), blob.to_owned(), changed?))
            })
        });
        parts.collect()
    }

    /// The places that look different once a model has come, gone or been
    /// written to, as they look now. Blocks.
    pub(crate) fn look(&self) -> Look {
        let mut look = Look::default();
        look.add(self.root.clone());
        for (name, _) in entries(&self.root, REPOS_MAX) {
            let Some(repo) = repo_of(&name) else { continue };
            let snapshots = self.repo_dir(&repo).join("snapshots");
            look.add(snapshots.clone());
            for (commit, _) in entries(&snapshots, SNAPSHOTS_MAX) {
                let snapshot = snapshots.join(commit);
                let Walked { files, folders } = walk(&snapshot);
                folders.into_iter().chain(files).for_each(|it| look.add(snapshot.join(it)));
            }
        }
        look
    }

    /// Every model here. Blocks; a folder that cannot be read has nothing.
    pub(crate) fn scan(&self) -> Vec<Found> {
        let repos = entries(&self.root, REPOS_MAX);
        repos.iter().filter_map(|(name, _)| repo_of(name)).flat_map(|it| self.repo(&it)).collect()
    }

    /// The models of one repository.
    pub(crate) fn repo(&self, repo: &str) -> Vec<Found> {
        let Ok(root) = self.root.canonicalize() else { return Vec::new() };
        let files = self.files(repo, &root);
        let groups = select::groups(files.keys().map(String::as_str));
        groups
            .into_iter()
            .map(|group| Found {
                repo: repo.to_owned(),
                is_whole: group.is_whole(),
                files: group.files.iter().filter_map(|name| files.get(name)).cloned().collect(),
            })
            .collect()
    }

    /// The newest of each name: what `main` points to first.
    fn files(&self, repo: &str, root: &Path) -> BTreeMap<String, FoundFile> {
        let dir = self.repo_dir(repo);
        let main = fs::read_to_string(dir.join("refs/main")).unwrap_or_default();
        let mut snapshots = entries(&dir.join("snapshots"), SNAPSHOTS_MAX);
        snapshots.sort_by_key(|(name, changed)| {
            (name != main.trim(), std::cmp::Reverse(*changed), name.clone())
        });
        let mut files = BTreeMap::new();
        for (commit, _) in snapshots {
            let snapshot = dir.join("snapshots").join(&commit);
            for name in walk(&snapshot).files {
                let path = snapshot.join(&name);
                let is_known = files.contains_key(&name);
                if let Some(metadata) = file_inside(&path, root).filter(|_| !is_known) {
                    let (bytes, changed) = (metadata.len(), metadata.modified().ok());
                    let commit = commit.clone();
                    let file = FoundFile { name: name.clone(), commit, path, bytes, changed };
                    files.insert(name, file);
                }
            }
        }
        files
    }
}

/// What the system says of a file, if it is one and inside `root`.
fn file_inside(path: &Path, root: &Path) -> Option<Metadata> {
    let real = path.canonicalize().ok()?;
    let metadata = fs::metadata(&real).ok()?;
    (real.starts_with(root) && metadata.is_file()).then_some(metadata)
}

/// The repository of a folder of the cache.
fn repo_of(folder: &str) -> Option<String> {
    let repo = folder.strip_prefix("models--")?.replacen("--", "/", 1);
    repo.contains('/').then(|| repo.parse::<ModelRef>().ok()).flatten()?;
    Some(repo)
}

/// What is below a snapshot, by its name inside of it.
#[derive(Default)]
struct Walked {
    /// The GGUF files.
    files: Vec<String>,
    /// The folders, and the snapshot itself, which has no name.
    folders: Vec<String>,
}

fn walk(snapshot: &Path) -> Walked {
    let mut walked = Walked::default();
    let mut folders = vec![(String::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for (name, _) in entries(&snapshot.join(&folder), ENTRIES_MAX) {
            let inside = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let path = snapshot.join(&inside);
            // A link to a folder is not followed.
            if fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir()) {
                if depth < DEPTH_MAX {
                    folders.push((inside, depth + 1));
                }
            } else if inside.to_ascii_lowercase().ends_with(".gguf") {
                walked.files.push(inside);
            }
        }
        walked.folders.push(folder);
        if walked.files.len() > ENTRIES_MAX {
            break;
        }
    }
    walked
}

/// When some places were last changed; `None` for one that is not there.
#[derive(Debug, Default)]
pub(crate) struct Look {
    places: Vec<(PathBuf, Option<SystemTime>)>,
}

impl Look {
    fn add(&mut self, place: PathBuf) {
        if self.places.len() < PLACES_MAX {
            let changed = changed(&place);
            self.places.push((place, changed));
        }
    }

    /// Whether nothing has changed since; of nothing at all that is not known.
    /// Blocks.
    pub(crate) fn is_as_before(&self) -> bool {
        !self.places.is_empty()
            && self.places.iter().all(|(place, before)| changed(place) == *before)
    }
}

fn changed(place: &Path) -> Option<SystemTime> {
    fs::metadata(place).and_then(|it| it.modified()).ok()
}

fn entries(dir: &Path, limit: usize) -> Vec<(String, Option<SystemTime>)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let named = entries.take(limit).filter_map(|entry| {
        let entry = entry.ok()?;
        let changed = entry.metadata().and_then(|it| it.modified()).ok();
        Some((entry.file_name().into_string().ok()?, changed))
    });
    named.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// Puts a file into a cache as the hub's own tools do.
    pub(crate) fn put(cache: &HubCache, repo: &str, commit: &str, name: &str, content: &[u8]) {
        let blob = cache.blob(repo, &format!("blob-of-{}", name.replace('/', "-")));
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(&blob, content).unwrap();
        let pointer = cache.pointer(repo, commit, name);
        fs::create_dir_all(pointer.parent().unwrap()).unwrap();
        symlink(&blob, &pointer).unwrap();
        let reference = cache.repo_dir(repo).join("refs/main");
        fs::create_dir_all(reference.parent().unwrap()).unwrap();
        fs::write(reference, commit).unwrap();
    }

    fn cache() -> (tempfile::TempDir, HubCache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = HubCache::new(directory.path().join("hub"));
        (directory, cache)
    }

    #[test]
    fn what_other_tools_left_is_found_with_split_files_together() {
        let (_directory, cache) = cache();
        assert_eq!(cache.scan(), []);
        put(&cache, "o/r", COMMIT, "a.gguf", b"1234");
        put(&cache, "o/r", COMMIT, "sub/b-00001-of-00002.gguf", b"12");
        put(&cache, "o/r", COMMIT, "sub/b-00002-of-00002.gguf", b"3");
        put(&cache, "o/r", COMMIT, "README.md", b"hello");
        fs::create_dir_all(cache.root().join("datasets--o--d/snapshots/x")).unwrap();
        let found = cache.scan();
        let names: Vec<Vec<&str>> =
            found.iter().map(|it| it.files.iter().map(|it| it.name.as_str()).collect()).collect();
        assert_eq!(
            names,
            [vec!["a.gguf"], vec!["sub/b-00001-of-00002.gguf", "sub/b-00002-of-00002.gguf"]]
        );
        assert!(found.iter().all(|it| it.is_whole && it.repo == "o/r"));
        assert_eq!(found[0].files[0].bytes, 4);
    }

    #[test]
    fn what_main_points_to_comes_before_older_snapshots() {
        let (_directory, cache) = cache();
        let old = "f".repeat(40);
        put(&cache, "o/r", &old, "a.gguf", b"old");
        put(&cache, "o/r", &old, "only-old.gguf", b"old");
        put(&cache, "o/r", COMMIT, "a.gguf", b"newer");
        let found = cache.repo("o/r");
        assert_eq!(found[0].files[0].commit, COMMIT);
        assert_eq!(found[1].files[0].commit, old);
    }

    #[test]
    fn a_file_that_comes_goes_or_is_written_to_is_seen_without_a_scan() {
        let (_directory, cache) = cache();
        let seen = |what: &str, change: &dyn Fn()| {
            let look = cache.look();
            assert!(look.is_as_before(), "before {what}");
            change();
            assert!(!look.is_as_before(), "{what}");
        };
        assert!(!Look::default().is_as_before(), "who has not looked does not know");
        seen("a cache", &|| put(&cache, "o/r", COMMIT, "a.gguf", b"1234"));
        seen("a repository", &|| put(&cache, "o/x", COMMIT, "a.gguf", b"1234"));
        seen("a revision", &|| put(&cache, "o/r", &"e".repeat(40), "a.gguf", b"1"));
        seen("a file", &|| put(&cache, "o/r", COMMIT, "sub/b.gguf", b"1234"));
        seen("a file in a folder", &|| put(&cache, "o/r", COMMIT, "sub/c.gguf", b"1234"));
        let file = cache.pointer("o/r", COMMIT, "sub/c.gguf");
        let later = SystemTime::now() + std::time::Duration::from_secs(9);
        seen("writing", &|| {
            fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        });
        seen("a blob that is removed", &|| fs::remove_file(file.canonicalize().unwrap()).unwrap());
        seen("a removal", &|| fs::remove_dir_all(cache.repo_dir("o/x")).unwrap());
    }

    #[test]
    fn a_link_out_of_the_cache_and_a_broken_one_are_not_files() {
        let (directory, cache) = cache();
        put(&cache, "o/r", COMMIT, "a.gguf", b"1234");
        let outside = directory.path().join("outside.gguf");
        fs::write(&outside, "secret").unwrap();
        symlink(&outside, cache.pointer("o/r", COMMIT, "b.gguf")).unwrap();
        symlink("/nowhere", cache.pointer("o/r", COMMIT, "c.gguf")).unwrap();
        symlink(directory.path(), cache.pointer("o/r", COMMIT, "folder")).unwrap();
        assert_eq!(cache.repo("o/r").len(), 1);
    }

    #[test]
    fn how_far_a_download_came_is_read_from_its_mark() {
        let (_directory, cache) = cache();
        assert_eq!(cache.committed("o/r", "abc", 10), 0);
        let part = cache.part("o/r", "abc");
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        let mut bytes = vec![0; 10];
        bytes.extend(7u64.to_le_bytes());
        fs::write(&part, &bytes).unwrap();
        assert_eq!(cache.committed("o/r", "abc", 10), 7);
        assert_eq!(cache.committed("o/r", "abc", 11), 0, "the file has changed its size");
        fs::write(&part, [&[0; 10][..], &u64::MAX.to_le_bytes()].concat()).unwrap();
        assert_eq!(cache.committed("o/r", "abc", 10), 10);
    }
}
