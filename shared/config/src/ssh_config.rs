//! The names of the machines in `~/.ssh/config`.
//!
//! Only the names: what they mean is `ssh`'s to say (`ssh -G NAME`), because
//! `Host *`, `Match` and the order of files decide over it together. A name is
//! taken from every `Host` line, wherever it stands, that is no pattern.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::words;

/// As deep as ssh itself follows `Include`.
const DEPTH_MAX: usize = 16;
/// Files in all, so that a pattern that fits a whole disk ends.
const FILES_MAX: usize = 256;
/// Names in all; nobody picks from a longer list.
const NAMES_MAX: usize = 1_000;
/// A file beyond this was not written by a person.
const BYTES_MAX: u64 = 1024 * 1024;

/// The names in `file`, which is `~/.ssh/config` of the home folder `home`, in
/// the order in which they come up. What cannot be read has none.
pub fn names(file: &Path, home: &Path) -> Vec<String> {
    let mut reader = Reader { home, names: Vec::new(), seen: BTreeSet::new(), files: 0 };
    reader.read(file, 0);
    reader.names
}

struct Reader<'a> {
    home: &'a Path,
    names: Vec<String>,
    seen: BTreeSet<String>,
    files: usize,
}

impl Reader<'_> {
    fn read(&mut self, file: &Path, depth: usize) {
        self.files += 1;
        if depth > DEPTH_MAX || self.files > FILES_MAX {
            return;
        }
        let mut text = String::new();
        let read = fs::File::open(file).and_then(|it| it.take(BYTES_MAX).read_to_string(&mut text));
        if read.is_err() {
            return;
        }
        for line in text.lines() {
            // A line that ssh refuses names nothing.
            let Ok(Some(words)) = words::cut(line) else { continue };
            if words.keyword.eq_ignore_ascii_case("Host") {
                self.add(words.values);
            } else if words.keyword.eq_ignore_ascii_case("Include") {
                for pattern in words.values {
                    self.include(&pattern, depth);
                }
            }
        }
    }

    fn add(&mut self, names: Vec<String>) {
        for name in names {
            let is_name = !name.is_empty() && !name.contains(['*', '?', '!']);
            if is_name && self.names.len() < NAMES_MAX && self.seen.insert(name.clone()) {
                self.names.push(name);
            }
        }
    }

    fn include(&mut self, pattern: &str, depth: usize) {
        let pattern = match pattern.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            // As ssh has it: relative to its own folder, an absolute one stays.
            None => self.home.join(".ssh").join(pattern),
        };
        let Some(pattern) = pattern.to_str() else { return };
        let files: Vec<PathBuf> = glob::glob(pattern).into_iter().flatten().flatten().collect();
        for file in files {
            self.read(&file, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_pattern() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        fs::create_dir_all(ssh.join("conf.d")).unwrap();
        let write = |name: &str, text: &str| fs::write(ssh.join(name), text).unwrap();
        write(
            "config",
            "Include conf.d/*\nInclude ~/elsewhere nowhere\nHost gpu-1 *.lan !bad\n  User ada\n\
             Match exec \"true\"\n  User eve\nhost=attic gpu-1\nHost *\n  Port 1\nHost \"open\n",
        );
        write("conf.d/a", "Host alpha # mine\n");
        // One that includes itself ends.
        write("conf.d/b", "Include conf.d/b\nHost beta\n");
        fs::write(home.path().join("elsewhere"), "Host gamma\n").unwrap();
        let found = names(&ssh.join("config"), home.path());
        assert_eq!(found, ["alpha", "beta", "gamma", "gpu-1", "attic"]);
        assert_eq!(names(&ssh.join("none"), home.path()), [""; 0]);
    }
}
