//! Reading a file that decides what programs are run and where.
//!
//! The rule is ssh's own: others may read it, because it holds no secret, and
//! nobody but its owner may write it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::ConfigError;

/// A file beyond this was not written by a person.
pub(crate) const BYTES_MAX: u64 = 1024 * 1024;

/// What the file says; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(read_error(source)),
    };
    let metadata = file.metadata().map_err(read_error)?;
    let us = rustix::process::geteuid().as_raw();
    if let Some(problem) = danger(metadata.uid(), metadata.mode(), us, path) {
        return Err(ConfigError::Unsafe { path: path.to_owned(), problem });
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(read_error)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(Some(text))
}

/// Who else could change the file, as the end of a sentence.
fn danger(owner: u32, mode: u32, us: u32, path: &Path) -> Option<String> {
    let path = path.display();
    if owner != us && owner != 0 {
        return Some(format!(
            "belongs to user {owner}, who could make us run anything: `chown {us} {path}`"
        ));
    }
    let mode = mode & 0o7777;
    (mode & 0o022 != 0).then(|| {
        format!("has mode {mode:04o}, so others could make us run anything: `chmod go-w {path}`")
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_file_that_others_can_write_is_refused_with_its_mode_and_the_remedy() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("hives.conf");
        fs::write(&path, "x").unwrap();
        for (mode, is_fine) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = read(&path).map_err(|error| error.to_string());
            assert_eq!(said.is_ok(), is_fine, "{mode:04o}: {said:?}");
            if let Err(said) = said {
                let remedy = format!("chmod go-w {}", path.display());
                assert!(said.contains(&format!("{mode:04o}")) && said.contains(&remedy), "{said}");
            }
        }
    }

    #[test]
    fn a_strangers_file_is_refused_and_roots_is_not() {
        let path = Path::new("/c/config.toml");
        assert!(danger(1001, 0o100_600, 1000, path).unwrap().contains("chown 1000 /c/config.toml"));
        assert_eq!(danger(0, 0o100_644, 1000, path), None);
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("config.toml");
        fs::write(&path, "#".repeat(usize::try_from(BYTES_MAX).unwrap() + 1)).unwrap();
        let said = read(&path).unwrap_err().to_string();
        assert!(said.ends_with("config.toml is larger than 1024 KiB"), "{said}");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path), Err(ConfigError::Read { .. })));
    }
}
