//! The lines of a file in the manner of `ssh_config`, cut into words.
//!
//! ```text
//! Key value          Key=value          Key = "a value"          # a comment
//! ```
//!
//! Nothing here knows what a keyword means.

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) keyword: String,
    pub(crate) values: Vec<String>,
}

/// Cuts one line; `None` when it is empty or a comment.
pub(crate) fn cut(line: &str) -> Result<Option<Words>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '#'));
    let (keyword, rest) = line.split_at(end.unwrap_or(line.len()));
    if keyword.is_empty() {
        return Err("a line begins with a keyword such as `Host`".to_owned());
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some(Words { keyword: keyword.to_owned(), values: values(rest)? }))
}

fn values(mut rest: &str) -> Result<Vec<String>, String> {
    let mut values = Vec::new();
    loop {
        rest = rest.trim_start();
        // As ssh has it: inside a word `#` is a letter like any other.
        if rest.is_empty() || rest.starts_with('#') {
            return Ok(values);
        }
        let (value, left) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (value, left) =
                    quoted.split_once('"').ok_or("a double quote is opened and not closed")?;
                if left.starts_with(|c: char| !c.is_whitespace()) {
                    return Err("behind a closing double quote there must be a space".to_owned());
                }
                (value, left)
            }
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        values.push(value.to_owned());
        rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = cut(line).unwrap().unwrap();
        std::iter::once(words.keyword).chain(words.values).collect()
    }

    #[test]
    fn a_line_is_cut_as_ssh_cuts_it() {
        assert_eq!(words("Host box"), ["Host", "box"]);
        assert_eq!(words("\t Host\tbox  attic \r"), ["Host", "box", "attic"]);
        assert_eq!(words("Port=22"), ["Port", "22"]);
        assert_eq!(words("Port = 22"), ["Port", "22"]);
        assert_eq!(words("Port =22 # as always"), ["Port", "22"]);
        assert_eq!(words("User \"ada l\""), ["User", "ada l"]);
        assert_eq!(words("User \"\""), ["User", ""]);
        assert_eq!(words("Url http://a#b"), ["Url", "http://a#b"]);
        assert_eq!(words("Url http://a?x=1"), ["Url", "http://a?x=1"]);
        assert_eq!(words("Host"), ["Host"]);
        assert_eq!(words("Host#x"), ["Host"]);
    }

    #[test]
    fn empty_lines_and_comments_say_nothing() {
        for line in ["", "  ", "# Host box", "   #Host box"] {
            assert_eq!(cut(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        for line in ["User \"ada", "User \"ada\"l", "= 22", "\"Host\" box"] {
            assert!(cut(line).is_err(), "{line:?}");
        }
    }
}
