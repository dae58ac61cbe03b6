//! Frames as bytes, and the thread that writes them.
//!
//! A frame is drawn into memory, compared with the one before and encoded; if
//! nothing changed there are no bytes at all. At most one frame is on its way
//! to the terminal, so a slow terminal gets fewer frames and never old ones,
//! and a stalled one stops no key from being handled.

use std::{
    io::{self, Write},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::{
    Frame, Terminal,
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
};
use tokio::sync::mpsc;

/// Turns frames into bytes.
pub(crate) struct Screen {
    terminal: Terminal<Encoder>,
}

impl Screen {
    /// An empty screen of this size.
    pub(crate) fn new((width, height): (u16, u16)) -> io::Result<Self> {
        let encoder = Encoder { bytes: Vec::new(), size: Size { width, height } };
        Ok(Self { terminal: Terminal::new(encoder)? })
    }

    /// The terminal has another size now.
    pub(crate) fn resize(&mut self, (width, height): (u16, u16)) {
        self.terminal.backend_mut().size = Size { width, height };
    }

    /// Forgets what the terminal shows; the next frame is sent whole.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Draws a frame. `None` when it looks like the one before.
    pub(crate) fn draw(
        &mut self,
        view: impl FnOnce(&mut Frame<'_>),
    ) -> io::Result<Option<Vec<u8>>> {
        self.terminal.draw(view)?;
        let drawn = std::mem::take(&mut self.terminal.backend_mut().bytes);
        if drawn.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(drawn.len() + 16);
        crossterm::queue!(bytes, BeginSynchronizedUpdate)?;
        bytes.extend_from_slice(&drawn);
        crossterm::queue!(bytes, EndSynchronizedUpdate)?;
        Ok(Some(bytes))
    }
}

/// Encodes as crossterm does, into memory, and nothing where there is nothing
/// to say. The cursor stays hidden from when the terminal was taken.
struct Encoder {
    bytes: Vec<u8>,
    size: Size,
}

impl Encoder {
    fn crossterm(&mut self) -> CrosstermBackend<&mut Vec<u8>> {
        CrosstermBackend::new(&mut self.bytes)
    }
}

impl Backend for Encoder {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        self.crossterm().draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> io::Result<()> {
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.crossterm().clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.crossterm().clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes frames.
pub(crate) struct Writer {
    frames: SyncSender<Vec<u8>>,
    written: mpsc::Receiver<io::Result<()>>,
    is_busy: bool,
}

impl Writer {
    /// Writes to this terminal.
    pub(crate) fn start(mut terminal: impl Write + Send + 'static) -> io::Result<Self> {
        let (frames, to_write) = sync_channel::<Vec<u8>>(1);
        let (done, written) = mpsc::channel(1);
        thread::Builder::new().name("terminal-writer".to_owned()).spawn(move || {
            for frame in to_write {
                let result = terminal.write_all(&frame).and_then(|()| terminal.flush());
                if done.blocking_send(result).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { frames, written, is_busy: false })
    }

    /// Whether a frame is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Sends a frame on its way; there must be none.
    pub(crate) fn write(&mut self, frame: Vec<u8>) -> io::Result<()> {
        self.is_busy = true;
        self.frames.try_send(frame).map_err(io::Error::other)
    }

    /// Waits until the frame has arrived.
    pub(crate) async fn done(&mut self) -> io::Result<()> {
        if !self.is_busy {
            return Ok(());
        }
        let result = self.written.recv().await;
        self.is_busy = false;
        result.unwrap_or_else(|| Err(io::Error::other("the terminal's writer is gone")))
    }
}

#[cfg(test)]
mod tests {
    use ratatui::{style::Stylize, text::Line};

    use super::*;

    #[test]
    fn a_frame_like_the_one_before_has_no_bytes() {
        let mut screen = Screen::new((80, 24)).unwrap();
        let draw = |frame: &mut Frame<'_>| {
            frame.render_widget(Line::from("hello").bold(), frame.area());
        };
        let first = screen.draw(draw).unwrap().unwrap();
        let text = String::from_utf8(first).unwrap();
        assert!(text.starts_with("\u{1b}[?2026h") && text.ends_with("\u{1b}[?2026l"), "{text:?}");
        assert_eq!(screen.draw(draw).unwrap(), None);
        screen.forget().unwrap();
        assert!(screen.draw(draw).unwrap().is_some());
    }

    #[tokio::test]
    async fn one_frame_is_on_its_way_at_a_time() {
        let mut writer = Writer::start(io::sink()).unwrap();
        assert!(!writer.is_busy());
        writer.write(vec![1]).unwrap();
        assert!(writer.is_busy());
        writer.done().await.unwrap();
        assert!(!writer.is_busy());
    }
}
