//! Tokens in files.
//!
//! A token is read from a file that only its owner can read, and from nowhere
//! else: never from an argument or the environment, where every process of
//! the machine could see it. It is zeroed when dropped and never printed.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use secrecy::{SecretString, zeroize::Zeroizing};

/// The shortest token that is worth guarding.
const LENGTH_MIN: usize = 16;
/// Longer than this is the wrong file.
const LENGTH_MAX: usize = 512;
/// The longest token, its line end, and one byte that says there is more.
const READ_MAX: usize = LENGTH_MAX + 3;

/// Why a token file was refused.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be opened or read.
    #[error("cannot read the token file {}", path.display())]
    Read {
        /// The token file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is a link, which could be turned to another file.
    #[error(
        "the token file {} is a symbolic link: name the file itself, or replace the link by it",
        path.display()
    )]
    Symlink {
        /// The token file.
        path: PathBuf,
    },
    /// A directory, a pipe, a device.
    #[error("the token file {} is not a regular file", path.display())]
    NotAFile {
        /// The token file.
        path: PathBuf,
    },
    /// Somebody else could change the token.
    #[error(
        "the token file {} belongs to user {owner}, not to user {us} who runs this: \
         `chown {us} {}`",
        path.display(),
        path.display()
    )]
    ForeignOwner {
        /// The token file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who reads it.
        us: u32,
    },
    /// Somebody else can read the token.
    #[error(
        "the token file {} has mode {mode:04o}, so others than its owner can get at it: \
         `chmod 600 {}`, and make a new token if others use this machine",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The token file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What is in the file is not a token. It is not shown.
    #[error(
        "the token file {} must hold one line of {LENGTH_MIN} to {LENGTH_MAX} printable ASCII \
         characters without spaces, but {problem}: `umask 077; openssl rand -hex 32 > {}`",
        path.display(),
        path.display()
    )]
    Malformed {
        /// The token file.
        path: PathBuf,
        /// What is wrong with it, without its text.
        problem: String,
    },
}

/// Reads the token in `path`, if nobody else can.
pub fn read_token(path: &Path) -> Result<SecretString, SecretError> {
    let read_error = |source| SecretError::Read { path: path.to_owned(), source };
    // The checks are made on the open file, so it cannot be swapped between
    // the check and the read; NONBLOCK keeps a pipe from hanging the start.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(SecretError::Symlink { path: path.to_owned() });
        }
        Err(source) => return Err(read_error(source)),
    };
    let metadata = file.metadata().map_err(read_error)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        return Err(SecretError::ForeignOwner { path: path.to_owned(), owner: metadata.uid(), us });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    // The buffer never grows, so no unzeroed copy of the token stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(READ_MAX + 1));
    file.take(READ_MAX as u64).read_to_end(&mut bytes).map_err(read_error)?;
    parse(&bytes).map_err(|problem| SecretError::Malformed { path: path.to_owned(), problem })
}

fn parse(bytes: &[u8]) -> Result<SecretString, String> {
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err("it is empty".to_owned());
    }
    // A file that was not read to its end must not pass as its own beginning.
    if token.len() > LENGTH_MAX || bytes.len() == READ_MAX {
        return Err(format!("it is longer than {LENGTH_MAX}"));
    }
    if token.len() < LENGTH_MIN {
        return Err(format!("it has only {}", token.len()));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err("it has other characters".to_owned());
    }
    // All bytes are ASCII, so this never replaces and is exactly as long.
    Ok(SecretString::from(String::from_utf8_lossy(token).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use secrecy::ExposeSecret;

    use super::*;

    fn token_file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (temp, path)
    }

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_private_token_is_read_without_its_newline_and_is_not_printed() {
        let (_temp, path) = token_file("  0123456789abcdef\n", 0o600);
        let token = read_token(&path).unwrap();
        assert_eq!(token.expose_secret(), TOKEN);
        assert!(!format!("{token:?}").contains(TOKEN));
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_with_its_mode_and_the_remedy() {
        for mode in [0o640, 0o604, 0o644, 0o620, 0o601] {
            let (_temp, path) = token_file(TOKEN, mode);
            let error = read_token(&path).unwrap_err().to_string();
            let remedy = format!("chmod 600 {}", path.display());
            assert!(error.contains(&format!("{mode:04o}")) && error.contains(&remedy), "{error}");
        }
    }

    #[test]
    fn a_link_a_directory_and_a_pipe_are_refused() {
        let (temp, path) = token_file(TOKEN, 0o600);
        let link = temp.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read_token(&link), Err(SecretError::Symlink { .. })));
        assert!(matches!(read_token(temp.path()), Err(SecretError::NotAFile { .. })));
        let pipe = temp.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(matches!(read_token(&pipe), Err(SecretError::NotAFile { .. })));
    }

    #[test]
    fn another_users_file_is_refused() {
        // Only root can give a file away; others have a stranger's file at
        // hand in /etc.
        let (_temp, path) = token_file(TOKEN, 0o600);
        let given_away = std::os::unix::fs::chown(&path, Some(12_345), None).is_ok();
        let path = if given_away { path } else { PathBuf::from("/etc/passwd") };
        let error = read_token(&path).unwrap_err();
        assert!(matches!(error, SecretError::ForeignOwner { .. }), "{error}");
    }

    #[test]
    fn what_is_not_a_token_is_refused_and_never_shown() {
        for (content, part) in [
            ("", "empty"),
            ("short", "only 5"),
            ("0123456789abcdef two", "other characters"),
            ("0123456789abcdef\nsecond", "other characters"),
            ("0123456789abcdéf", "other characters"),
            (&"x".repeat(513), "longer than 512"),
            (&"x".repeat(100_000), "longer than 512"),
            (&format!("{:>600}", TOKEN.repeat(20)), "longer than 512"),
        ] {
            let (_temp, path) = token_file(content, 0o600);
            let error = read_token(&path).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(content.is_empty() || !error.contains(content), "{error}");
        }
        let (_temp, path) = token_file(&"x".repeat(512), 0o600);
        assert!(read_token(&path).is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_token(Path::new("/nonexistent/token")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/token"), "{error}");
    }
}
