//! The key of a machine that is not known yet: looked at, shown, and noted
//! only when somebody has said that its fingerprint is right.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use config::SshTarget;
use tokio::process::Command;

use super::{
    argv,
    connection::output,
    fault::{SshError, SshFault},
    text::one_line,
};

/// The longest that a look at a key, or at what ssh would do, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key that a machine showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// Its lines as they stand in a `known_hosts`.
    lines: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Its kind, such as `ED25519`.
    pub kind: String,
}

impl HostKey {
    /// The key that `target` shows now. Nothing is trusted and nobody logs in.
    /// The file it is looked at with is made in `dir`.
    pub async fn look(target: &SshTarget, dir: &Path) -> Result<Self, SshError> {
        let file = dir.join("key");
        let _ = tokio::fs::remove_file(&file).await;
        let seen = output(argv::host_key(target, &file), PATIENCE).await?;
        let lines = tokio::fs::read_to_string(&file).await.unwrap_or_default();
        if lines.trim().is_empty() {
            // It did not come as far as the key.
            return Err(SshError::from_ssh(target, &String::from_utf8_lossy(&seen.stderr)));
        }
        let listed = Command::new("ssh-keygen")
            .arg("-l")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .await;
        let _ = tokio::fs::remove_file(&file).await;
        let listed = listed.map_err(|error| {
            SshError::new(SshFault::Other, format!("ssh-keygen cannot be started: {error}"))
        })?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let (fingerprint, kind) = fingerprint(&listed).ok_or_else(|| {
            SshError::new(SshFault::Other, format!("{target} shows a key that cannot be read"))
        })?;
        Ok(Self { lines, fingerprint, kind })
    }

    /// Notes the key where ssh looks for it, if its fingerprint is
    /// `fingerprint`.
    pub async fn accept(&self, target: &SshTarget, fingerprint: &str) -> Result<PathBuf, SshError> {
        if self.fingerprint != fingerprint {
            return Err(SshError::new(
                SshFault::ChangedHostKey,
                format!(
                    "{target} shows the host key {}, not {}",
                    self.fingerprint,
                    one_line(fingerprint)
                ),
            )
            .with_hint("compare it with `ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub` there"));
        }
        let effective = output(argv::effective(target), PATIENCE).await?;
        let file = known_hosts(&String::from_utf8_lossy(&effective.stdout)).ok_or_else(|| {
            SshError::new(SshFault::Other, "ssh names no UserKnownHostsFile to note the key in")
        })?;
        note(&file, &self.lines).map_err(|error| {
            let file = file.display();
            SshError::new(SshFault::Other, format!("cannot write {file}: {error}"))
        })?;
        Ok(file)
    }
}

/// The first line of `ssh-keygen -l`: `256 SHA256:… name (ED25519)`.
fn fingerprint(listed: &str) -> Option<(String, String)> {
    let line = listed.lines().next()?;
    let fingerprint = line.split(' ').find(|word| word.starts_with("SHA256:"))?;
    let kind = line.rsplit_once('(')?.1.trim_end_matches(')');
    Some((one_line(fingerprint), one_line(kind)))
}

/// The file that ssh notes keys in, as `ssh -G` says. It expands `~` itself.
fn known_hosts(effective: &str) -> Option<PathBuf> {
    let line = effective.lines().find_map(|line| line.strip_prefix("userknownhostsfile "))?;
    let first = line.split(' ').next()?;
    let path = match first.strip_prefix("~/") {
        Some(rest) => std::env::home_dir()?.join(rest),
        None => PathBuf::from(first),
    };
    (path.is_absolute() && path != Path::new("/dev/null")).then_some(path)
}

fn note(file: &Path, lines: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        config::paths::create_private_dir(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
    // In one write, so that two who note something do not mix.
    let lines = format!("{}\n", lines.trim_end());
    file.write_all(lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_from_the_list() {
        let line = "256 SHA256:jM+rBMxLzhHvQkub [127.0.0.1]:2299 (ED25519)\n";
        let (fingerprint, kind) = fingerprint(line).unwrap();
        assert_eq!((fingerprint.as_str(), kind.as_str()), ("SHA256:jM+rBMxLzhHvQkub", "ED25519"));
        assert_eq!(super::fingerprint("is not a public key file"), None);
    }

    #[test]
    fn the_file_for_keys_is_the_first_that_ssh_names() {
        let file = known_hosts("host x\nuserknownhostsfile /a/kh /b/kh2\n");
        assert_eq!(file, Some("/a/kh".into()));
        assert_eq!(known_hosts("userknownhostsfile /dev/null\n"), None);
        assert_eq!(known_hosts("host x\n"), None);
    }

    #[test]
    fn keys_are_added_and_none_is_taken_away() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join(".ssh/known_hosts");
        note(&file, "a ssh-ed25519 AAAA\n").unwrap();
        note(&file, "b ssh-ed25519 BBBB\n").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "a ssh-ed25519 AAAA\nb ssh-ed25519 BBBB\n");
    }
}
