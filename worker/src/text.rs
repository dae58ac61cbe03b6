//! From token bytes to text that may be shown.
//!
//! Two things must not reach a reader: half a UTF-8 character, and any part
//! of a stop string. [`TextStream`] holds back what could still become one of
//! them and releases it as soon as it cannot. What comes out does not depend
//! on how the bytes were cut into tokens.
//!
//! It refuses to know tokens, models or the wire: bytes in, text out.

/// What one push made visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Piece {
    /// Text that is now certain; often empty.
    pub text: String,
    /// A stop string is complete: nothing more will come out.
    pub stopped: bool,
}

/// Turns a stream of bytes into a stream of whole text that ends before the
/// first stop string.
#[derive(Debug, Clone)]
pub struct TextStream {
    stops: Vec<String>,
    /// The beginning of a character whose other bytes have not come yet.
    partial: Vec<u8>,
    /// Decoded text that could still be the beginning of a stop string.
    held: String,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends before the first of `stops`; empty ones are ignored.
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
            partial: Vec::new(),
            held: String::new(),
            stopped: false,
        }
    }

    /// Whether text is held back that [`TextStream::finish`] would release.
    pub fn holds_text(&self) -> bool {
        !(self.stopped || self.held.is_empty() && self.partial.is_empty())
    }

    /// Takes the bytes of one token.
    pub fn push(&mut self, bytes: &[u8]) -> Piece {
        if self.stopped {
            return Piece { text: String::new(), stopped: true };
        }
        self.decode(bytes);
        if let Some(start) = self.stop_start() {
            self.stopped = true;
            self.held.truncate(start);
            return Piece { text: std::mem::take(&mut self.held), stopped: true };
        }
        let certain = self.held.len() - self.held_back();
        let rest = self.held.split_off(certain);
        Piece { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// Releases what was held back, because no further bytes will come: half
    /// a character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        if !self.partial.is_empty() {
            self.partial.clear();
            self.held.push(char::REPLACEMENT_CHARACTER);
        }
        std::mem::take(&mut self.held)
    }

    /// Appends the whole characters of `bytes` to the held text; each invalid
    /// sequence becomes one U+FFFD, as in `String::from_utf8_lossy`.
    fn decode(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let mut rest = self.partial.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.held.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.held.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(invalid) = error.error_len() else { break };
                    self.held.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        self.partial = rest.to_vec();
    }

    /// Where the stop string that was complete first begins.
    ///
    /// First complete, not first begun: otherwise the result would depend on
    /// how much text arrives at once.
    fn stop_start(&self) -> Option<usize> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.find(stop).map(|start| (start + stop.len(), start)))
            .min()
            .map(|(_, start)| start)
    }

    /// The length of the longest suffix that is the beginning of a stop string.
    fn held_back(&self) -> usize {
        let begins_a_stop = |suffix: &str| self.stops.iter().any(|stop| stop.starts_with(suffix));
        self.held
            .char_indices()
            .map(|(start, _)| &self.held[start..])
            .find(|suffix| begins_a_stop(suffix))
            .map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(stops: &[&str]) -> Vec<String> {
        stops.iter().map(|stop| (*stop).to_owned()).collect()
    }

    /// Pushes `bytes` cut at `cuts`; the second value says whether a stop came.
    fn run(bytes: &[u8], cuts: &[usize], stop: &[String]) -> (String, bool) {
        let mut stream = TextStream::new(stop);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut out = String::new();
        let mut stopped = false;
        for pair in cuts.windows(2) {
            let piece = stream.push(&bytes[pair[0]..pair[1]]);
            out.push_str(&piece.text);
            stopped |= piece.stopped;
        }
        out.push_str(&stream.finish());
        (out, stopped)
    }

    #[test]
    fn a_character_split_over_tokens_comes_out_whole() {
        let mut stream = TextStream::new(&[]);
        let snowman = "☃".as_bytes();
        assert_eq!(stream.push(&snowman[..1]).text, "");
        assert!(stream.holds_text());
        assert_eq!(stream.push(&snowman[1..2]).text, "");
        assert_eq!(stream.push(&snowman[2..]).text, "☃");
        assert!(!stream.holds_text());
    }

    #[test]
    fn a_stop_string_split_over_tokens_never_shows_and_ends_the_text() {
        let mut stream = TextStream::new(&stops(&["<end>"]));
        assert_eq!(stream.push(b"one <e").text, "one ");
        assert_eq!(stream.push(b"n").text, "");
        assert_eq!(stream.push(b"d> two"), Piece { text: String::new(), stopped: true });
        assert_eq!(stream.push(b"three"), Piece { text: String::new(), stopped: true });
        assert_eq!(stream.finish(), "");
    }

    #[test]
    fn text_that_only_looked_like_a_stop_string_is_released() {
        let mut stream = TextStream::new(&stops(&["<end>"]));
        assert_eq!(stream.push(b"a <e").text, "a ");
        assert_eq!(stream.push(b"x").text, "<ex");
        assert_eq!(stream.push(b"<en").text, "");
        assert_eq!(stream.finish(), "<en");
    }

    #[test]
    fn the_stop_string_that_is_complete_first_wins() {
        let both = stops(&["abcd", "bc"]);
        assert_eq!(run(b"xabcd", &[], &both), ("xa".to_owned(), true));
        assert_eq!(run(b"xabcd", &[1, 2, 3, 4], &both), ("xa".to_owned(), true));
    }

    #[test]
    fn half_a_character_at_the_very_end_becomes_a_replacement_character() {
        assert_eq!(run(b"ok \xe2\x98", &[4], &[]).0, "ok \u{fffd}");
    }

    proptest! {
        #[test]
        fn without_stop_strings_the_text_is_the_lossy_decoding_however_it_is_cut(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(0xe2), Just(0x98), Just(0x83), Just(b'a'), Just(0xf0)],
                0..60,
            ),
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let (text, stopped) = run(&bytes, &cuts, &[]);
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
            prop_assert!(!stopped);
        }

        #[test]
        fn cutting_differently_changes_nothing_about_where_the_text_stops(
            text in "[abcé]{0,24}",
            stop in proptest::collection::vec("[abcé]{1,4}", 0..4),
            cuts in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let whole = run(text.as_bytes(), &[], &stop);
            prop_assert_eq!(&run(text.as_bytes(), &cuts, &stop), &whole);
            let (shown, stopped) = whole;
            prop_assert!(text.starts_with(&shown));
            prop_assert!(stop.iter().all(|stop| !shown.contains(stop.as_str())));
            prop_assert_eq!(stopped, stop.iter().any(|stop| text.contains(stop.as_str())));
            if !stopped {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
