//! One `ssh` process to one machine, and what goes through it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use config::SshTarget;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{
    argv::{self, Forward},
    fault::{SshError, SshFault},
    script::{ANSWER_MAX, Reply, Script},
};

/// From the start of ssh to the first echo: jump hosts, slow name servers.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// A way through a connection that stands is a matter of one round trip.
const FORWARD_PATIENCE: Duration = Duration::from_secs(10);
/// What ssh writes that is of use fits into this.
const STDERR_MAX: u64 = 64 * 1024;
/// An echo is a number; a login that prints more than this is not waited for.
const ECHO_LINE_MAX: u64 = 64 * 1024;
/// How much of a file is sent at once.
const PIECE: usize = 256 * 1024;

/// The way through a connection. Cheap to clone; all of it fails once the
/// [`Pulse`] has ended.
#[derive(Debug, Clone)]
pub struct Connection {
    target: Arc<SshTarget>,
    control: Arc<Path>,
}

/// The life of a connection; dropping it ends the connection.
#[derive(Debug)]
pub struct Pulse {
    target: Arc<SshTarget>,
    control: Arc<Path>,
    child: Child,
    stdin: ChildStdin,
    echoes: BufReader<ChildStdout>,
    line: Vec<u8>,
    beats: u64,
}

/// A file that goes over a script's stdin.
pub struct Upload<'a> {
    /// What is sent.
    pub file: tokio::fs::File,
    /// Told how many bytes are on their way.
    pub progress: &'a mut (dyn FnMut(u64) + Send),
}

impl Connection {
    /// Connects to `target` and waits until the other side echoes. The control
    /// socket is made in `dir`, which must be short and nobody else's.
    pub async fn open(target: &SshTarget, dir: &Path) -> Result<(Self, Pulse), SshError> {
        let control: Arc<Path> = dir.join("control").into();
        // What an earlier connection left there.
        let _ = tokio::fs::remove_file(&control).await;
        let mut child = ssh(argv::connect(target, &control))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| SshError::start(&error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SshError::new(SshFault::Other, "ssh has no pipes"));
        };
        let target = Arc::new(target.clone());
        let mut pulse = Pulse {
            target: Arc::clone(&target),
            control: Arc::clone(&control),
            child,
            stdin,
            echoes: BufReader::new(stdout),
            line: Vec::new(),
            beats: 0,
        };
        match timeout(OPEN_PATIENCE, pulse.beat()).await {
            Ok(Ok(_)) => Ok((Self { target, control }, pulse)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SshError::new(
                SshFault::Slow,
                format!("{target} did not finish a login within {} s", OPEN_PATIENCE.as_secs()),
            )
            .with_hint("`ssh -v` shows what it waits for")),
        }
    }

    /// The machine, as errors name it.
    pub fn target(&self) -> &SshTarget {
        &self.target
    }

    /// Runs `script` there with these arguments.
    pub async fn run(
        &self,
        script: Script,
        args: &[&str],
        patience: Duration,
    ) -> Result<Reply, SshError> {
        self.run_with(script, args, None, patience).await
    }

    /// Runs `script` there; a file follows its arguments. The wait is for the
    /// script alone: however long a file takes, it is over `patience` after
    /// its last piece was taken.
    pub async fn run_with(
        &self,
        script: Script,
        args: &[&str],
        upload: Option<Upload<'_>>,
        patience: Duration,
    ) -> Result<Reply, SshError> {
        let Some(sent) = script.sent(args) else {
            return Err(SshError::new(SshFault::Other, "an argument of a script is not one line"));
        };
        let mut child = ssh(argv::run(&self.control))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| SshError::start(&error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(SshError::new(SshFault::Other, "ssh has no pipes"));
        };
        let answer = tokio::spawn(async move {
            tokio::join!(read_all(stdout, ANSWER_MAX as u64), read_all(stderr, STDERR_MAX))
        });
        // Whoever does not read to the end says why in its answer.
        let _ = send(&mut stdin, &sent, upload).await;
        drop(stdin);
        let late = || {
            let seconds = patience.as_secs();
            SshError::new(SshFault::Slow, format!("{} took longer than {seconds} s", self.target))
        };
        let (stdout, stderr) =
            timeout(patience, answer).await.map_err(|_| late())?.unwrap_or_default();
        let status = timeout(patience, child.wait()).await.map_err(|_| late())?;
        let reply = Reply::parse(&stdout);
        match status {
            Ok(status) if status.success() => Ok(reply),
            _ => Err(match reply.text("error") {
                Some(error) => SshError::new(SshFault::Script, error),
                None => SshError::from_ssh(&self.target, &String::from_utf8_lossy(&stderr)),
            }),
        }
    }

    /// Opens a way. One that is there already stays.
    pub async fn forward(&self, forward: &Forward) -> Result<(), SshError> {
        let output = ssh(argv::forward(&self.control, forward)).stdin(Stdio::null()).output();
        let output = match timeout(FORWARD_PATIENCE, output).await {
            Ok(output) => output.map_err(|error| SshError::start(&error))?,
            Err(_) => {
                let seconds = FORWARD_PATIENCE.as_secs();
                let message = format!("{} opened no tunnel within {seconds} s", self.target);
                return Err(SshError::new(SshFault::Slow, message));
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let said = super::text::one_line(&String::from_utf8_lossy(&output.stderr));
        Err(SshError::new(SshFault::Forward, format!("{} opens no tunnel: {said}", self.target))
            .with_hint("its sshd must allow AllowTcpForwarding and AllowStreamLocalForwarding"))
    }
}

impl Pulse {
    /// One echo, and how long it took. An error is the end of the connection.
    pub async fn beat(&mut self) -> Result<Duration, SshError> {
        self.beats += 1;
        let word = format!("rbee-echo-{}\n", self.beats);
        let began = Instant::now();
        if self.stdin.write_all(word.as_bytes()).await.is_err() {
            return Err(self.reason().await);
        }
        loop {
            self.line.clear();
            let mut limited = (&mut self.echoes).take(ECHO_LINE_MAX);
            match limited.read_until(b'\n', &mut self.line).await {
                // What a login prints by itself is no echo.
                Ok(read) if read > 0 && self.line != word.as_bytes() => {}
                Ok(read) if read > 0 => return Ok(began.elapsed()),
                _ => return Err(self.reason().await),
            }
        }
    }

    /// Waits between two beats for the end of the connection. Cancelling it
    /// loses nothing.
    pub async fn ended(&mut self) -> SshError {
        loop {
            match self.echoes.fill_buf().await {
                // Nothing is asked for, so this is no echo.
                Ok(said) if !said.is_empty() => {
                    let said = said.len();
                    self.echoes.consume(said);
                }
                _ => return self.reason().await,
            }
        }
    }

    /// Why ssh ended.
    async fn reason(&mut self) -> SshError {
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // A helper of ssh's may hold it open longer than ssh lives.
            let read = read_all(stderr, STDERR_MAX);
            said = timeout(Duration::from_secs(2), read).await.unwrap_or_default();
        }
        let _ = self.child.start_kill();
        SshError::from_ssh(&self.target, &String::from_utf8_lossy(&said))
    }

    /// The process, for a test that cuts the connection.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // ssh removes it when it ends by itself, and not when it is killed.
        let _ = std::fs::remove_file(&self.control);
    }
}

fn ssh(args: Vec<OsString>) -> Command {
    let mut command = Command::new("ssh");
    command.args(args).kill_on_drop(true);
    // A Ctrl-C in the terminal of whoever started us is not for ssh.
    command.process_group(0);
    command
}

async fn send(
    stdin: &mut ChildStdin,
    sent: &str,
    upload: Option<Upload<'_>>,
) -> std::io::Result<()> {
    stdin.write_all(sent.as_bytes()).await?;
    let Some(mut upload) = upload else { return Ok(()) };
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    loop {
        let read = upload.file.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        stdin.write_all(piece.get(..read).unwrap_or_default()).await?;
        done += read as u64;
        (upload.progress)(done);
    }
}

/// Reads to the end and keeps what fits.
async fn read_all(mut from: impl AsyncRead + Unpin, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = (&mut from).take(most).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    bytes
}

/// Runs ssh to its end and returns what it printed, or what it complained of.
pub(crate) async fn output(
    args: Vec<OsString>,
    patience: Duration,
) -> Result<std::process::Output, SshError> {
    match timeout(patience, ssh(args).stdin(Stdio::null()).output()).await {
        Ok(output) => output.map_err(|error| SshError::start(&error)),
        Err(_) => {
            let message = format!("ssh did not end within {} s", patience.as_secs());
            Err(SshError::new(SshFault::Slow, message))
        }
    }
}

/// A folder for control sockets and forwards that is short enough for the
/// names of sockets, and whose path ssh takes as it stands.
pub fn socket_dir() -> std::io::Result<PathBuf> {
    let is_usable = |dir: &Path| {
        dir.is_absolute()
            && dir.as_os_str().len() <= 40
            && dir.to_str().is_some_and(|it| {
                it.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
            })
            && dir.is_dir()
    };
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    Ok(runtime.filter(|dir| is_usable(dir)).unwrap_or_else(|| PathBuf::from("/tmp")))
}
