//! How a process ended.

use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

/// How a process ended. Both are none when nobody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The code it exited with.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

impl fmt::Display for Exit {
    /// Continues a sentence that began with the program's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(signal)) => match signal_name(signal) {
                Some(name) => write!(f, "was killed by signal {signal} ({name})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            (None, None) => f.write_str("ended, and nobody saw how"),
        }
    }
}

/// The signals that an operator meets.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_reads_as_the_rest_of_a_sentence() {
        let exit = |code, signal| Exit { code, signal }.to_string();
        assert_eq!(exit(Some(1), None), "exited with code 1");
        assert_eq!(exit(None, Some(9)), "was killed by signal 9 (SIGKILL)");
        assert_eq!(exit(None, Some(40)), "was killed by signal 40");
        assert_eq!(exit(None, None), "ended, and nobody saw how");
    }
}
