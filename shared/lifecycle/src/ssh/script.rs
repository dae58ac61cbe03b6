//! Scripts that run on another machine, and what they answer.
//!
//! A script is a constant. It is sent over stdin behind its length, because a
//! shell that reads its script from stdin would read on into the data; then
//! come its arguments, one to a line, and then the data. An answer is a line
//! `rbee:<key>=<value>`; whatever else a login prints is passed over.

use std::collections::BTreeMap;

use super::text::one_line;

/// The one command line that a machine is sent, whatever its login shell is:
/// it reads the script's length, then exactly that much, and runs it.
pub const BOOTSTRAP: &str =
    r#"exec sh -c 'IFS= read -r n && s=$(dd bs=1 count="$n" 2>/dev/null) && eval "$s"'"#;

/// What every script begins with.
const PRELUDE: &str = "set -u\numask 077\nsay() { printf 'rbee:%s=%s\\n' \"$1\" \"$2\"; }\n\
                       die() { say error \"$1\"; exit 3; }\n";

/// How much of an answer is read.
pub(crate) const ANSWER_MAX: usize = 256 * 1024;
/// How long a value may be.
const VALUE_MAX: usize = 16 * 1024;

/// A constant script.
#[derive(Debug, Clone, Copy)]
pub struct Script(pub &'static str);

impl Script {
    /// What is sent before the data. An argument is one line; one that is more
    /// is refused, although the types they come from know no such.
    pub(crate) fn sent(&self, args: &[&str]) -> Option<String> {
        if args.iter().any(|arg| arg.contains(|c: char| c.is_control())) {
            return None;
        }
        let script = format!("{PRELUDE}{}", self.0);
        let mut sent = format!("{}\n{script}", script.len());
        for arg in args {
            sent.push_str(arg);
            sent.push('\n');
        }
        Some(sent)
    }
}

/// What a script answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    values: BTreeMap<String, String>,
}

impl Reply {
    pub(crate) fn parse(stdout: &[u8]) -> Self {
        let text = String::from_utf8_lossy(stdout);
        let values = text.lines().filter_map(|line| {
            let (key, value) = line.strip_prefix("rbee:")?.split_once('=')?;
            let value: String = value.chars().take(VALUE_MAX).collect();
            Some((key.to_owned(), value))
        });
        Self { values: values.collect() }
    }

    /// A value as it came, for a parser; nothing that is shown.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value as one harmless line.
    pub fn text(&self, key: &str) -> Option<String> {
        self.raw(key).map(one_line).filter(|value| !value.is_empty())
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.raw(key)?.trim().parse().ok()
    }

    /// Whether a value is `yes`.
    pub fn is_yes(&self, key: &str) -> bool {
        self.raw(key) == Some("yes")
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, process::Stdio};

    use super::*;

    /// What ssh does with the command: the login shell reads it.
    fn run(shell: &str, script: Script, args: &[&str], data: &[u8]) -> (Reply, Option<i32>) {
        let mut child = std::process::Command::new(shell)
            .args(["-c", BOOTSTRAP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(script.sent(args).unwrap().as_bytes()).unwrap();
        stdin.write_all(data).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        (Reply::parse(&output.stdout), output.status.code())
    }

    #[test]
    fn a_script_gets_its_arguments_and_exactly_its_data() {
        let script = Script(
            "IFS= read -r a; IFS= read -r b\nsay a \"$a\"\nsay b \"$b\"\necho noise\n\
             say sum \"$(cksum | cut -d' ' -f2)\"\n",
        );
        // More than a shell reads at once, so that one which reads ahead is seen.
        let data = vec![b'x'; 100_000];
        for shell in ["sh", "bash"] {
            let (reply, code) = run(shell, script, &["$(id) 'x' \"y\" `z` \\", "-rf %h"], &data);
            assert_eq!(code, Some(0), "{shell}");
            assert_eq!(reply.raw("a"), Some("$(id) 'x' \"y\" `z` \\"), "{shell}");
            assert_eq!(reply.raw("b"), Some("-rf %h"));
            assert_eq!(reply.number("sum"), Some(100_000));
        }
    }

    #[test]
    fn a_script_that_dies_says_why() {
        let (reply, code) = run("sh", Script("die 'no space'\n"), &[], b"");
        assert_eq!((reply.raw("error"), code), (Some("no space"), Some(3)));
    }

    #[test]
    fn an_argument_is_one_line() {
        assert!(Script("").sent(&["a\nb"]).is_none());
        assert!(Script("").sent(&["a\0b"]).is_none());
    }

    #[test]
    fn noise_and_escapes_in_an_answer_do_no_harm() {
        let reply =
            Reply::parse(b"Welcome!\nrbee:a=\x1b[2Jx\nrbee:nothing\nxrbee:b=1\nrbee:c=yes\xff\n");
        assert_eq!(reply.text("a").as_deref(), Some("[2Jx"));
        assert_eq!((reply.raw("b"), reply.raw("nothing")), (None, None));
        assert!(!reply.is_yes("c"));
    }
}
