//! The dashboard without a terminal, a queen or a clock, for measuring what a
//! frame costs.

use std::{io, time::Duration};

use crossterm::event::KeyEvent;
use jiff::tz::TimeZone;
use protocol::Timestamp;

use super::{
    Options,
    message::Message,
    screen::Screen,
    state::{Model, Now},
    update::{lists, update},
    view::view,
};
use crate::news::FeedNews;

/// A dashboard that is told everything, the time included.
pub struct Offscreen {
    model: Model,
    screen: Screen,
    now: Now,
}

impl Offscreen {
    /// One that knows nothing yet.
    pub fn new(size: (u16, u16), options: Options, wall: Timestamp) -> io::Result<Self> {
        let model = Model::new("queen".to_owned(), options.theme, TimeZone::UTC, size);
        let now = Now { monotonic: Duration::ZERO, wall };
        Ok(Self { model, screen: Screen::new(size)?, now })
    }

    /// Takes in what the feed says.
    pub fn hear(&mut self, news: FeedNews) {
        self.take(Message::Feed(news));
    }

    /// A key goes down.
    pub fn press(&mut self, key: KeyEvent) {
        self.take(Message::Key(key));
    }

    /// Time goes by.
    pub fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.wall = self.now.wall.checked_add(time).unwrap_or(self.now.wall);
        self.take(Message::Tick);
    }

    /// The next frame, as the bytes a terminal would get.
    pub fn frame(&mut self) -> io::Result<Vec<u8>> {
        let Self { model, screen, now } = self;
        lists::arrange(model, *now);
        let bytes = screen.draw(|frame| {
            view(model, frame, *now);
        })?;
        Ok(bytes.unwrap_or_default())
    }

    /// Nothing is done here, so what is wanted is let be.
    fn take(&mut self, message: Message) {
        drop(update(&mut self.model, message, self.now));
    }
}
