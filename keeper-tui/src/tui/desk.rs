//! The model with its screen, its link and its clock: takes a message in,
//! hands what comes of it on, and draws. It waits for nothing but what is there.

use std::{task::Poll, time::Duration};

use anyhow::Context as _;
use crossterm::{clipboard::CopyToClipboard, event::Event};
use futures::StreamExt;
use ratatui::layout::Position;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Input, Partner,
    clock::Clock,
    configuration::Configuration,
    effect::Effect,
    message::{Message, Mouse},
    screen::Screen,
    state::Model,
    terminal, update, view,
};

/// Between frames when what came is not on the screen and only counts into
/// what is, the sums of a large fleet above all.
const CALM: Duration = Duration::from_millis(500);
/// Messages taken before a frame is drawn in spite of more to come.
const DRAIN_MAX: usize = 1_024;

/// What comes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flow {
    GoOn,
    /// The terminal is the shell's for a while.
    Suspend,
    /// It is a pager's for a while.
    Page(String),
    /// It is an editor's for a while, for the configuration.
    Edit,
    Leave,
}

/// The model with everything that turns it into frames and deeds.
pub(super) struct Desk {
    pub(super) model: Model,
    pub(super) screen: Screen,
    pub(super) link: Partner,
    pub(super) clock: Clock,
    pub(super) configuration: Configuration,
    /// The least time between frames that no key asked for.
    pub(super) frame: Duration,
    /// When a frame is to be drawn; `None` when nothing changed.
    pub(super) due: Option<Instant>,
    pub(super) drawn_at: Option<Instant>,
    /// Before then nobody listens for news.
    pub(super) listen_at: Option<Instant>,
    /// When the picture changes although nothing happens.
    pub(super) next_change: Option<Instant>,
    /// What goes to the terminal with the next frame.
    pub(super) copied: Vec<u8>,
}

impl Desk {
    pub(super) fn take(&mut self, message: Message) -> anyhow::Result<Flow> {
        let now = self.clock.now();
        let mut flow = Flow::GoOn;
        for effect in update::update(&mut self.model, message, now) {
            match effect {
                Effect::Redraw => self.appear()?,
                Effect::Copy(text) => {
                    crossterm::queue!(self.copied, CopyToClipboard::to_clipboard_from(text))?;
                }
                Effect::Suspend => flow = Flow::Suspend,
                Effect::Page(text) => flow = Flow::Page(text),
                Effect::EditConfig => flow = Flow::Edit,
                Effect::Mouse(on) => self.copied.extend(mouse_mode(on)),
                Effect::Quit => return Ok(Flow::Leave),
                effect => self.link.execute(effect),
            }
        }
        Ok(flow)
    }

    /// A key is shown at once.
    pub(super) fn input(&mut self, event: Event) -> anyhow::Result<Flow> {
        let message = match event {
            Event::Key(key) => Message::Key(key),
            Event::Paste(text) => Message::Paste(text),
            Event::Resize(width, height) => {
                self.screen.resize((width, height));
                Message::Resize { width, height }
            }
            Event::Mouse(mouse) => match Mouse::of(mouse.kind) {
                Some(kind) => {
                    Message::Mouse { mouse: kind, at: Position::new(mouse.column, mouse.row) }
                }
                None => return Ok(Flow::GoOn),
            },
            Event::FocusGained | Event::FocusLost => return Ok(Flow::GoOn),
        };
        self.due = Some(Instant::now());
        self.take(message)
    }

    /// News is shown when the time between frames is over.
    pub(super) fn news(&mut self, batch: &mut Vec<Message>) -> anyhow::Result<Flow> {
        let mut is_seen = false;
        for message in batch.drain(..) {
            is_seen |= update::is_seen(&self.model, &message);
            let flow = self.take(message)?;
            if flow != Flow::GoOn {
                return Ok(flow);
            }
        }
        let now = Instant::now();
        let wait = if is_seen { self.frame } else { self.frame.max(CALM) };
        let soonest = self.drawn_at.map_or(now, |at| at + wait);
        self.due = Some(self.due.map_or(soonest, |due| due.min(soonest)));
        self.listen_at = Some(now + self.frame);
        Ok(Flow::GoOn)
    }

    pub(super) fn tick(&mut self) -> anyhow::Result<Flow> {
        self.next_change = None;
        self.due = Some(Instant::now());
        self.take(Message::Tick)
    }

    /// Takes everything that is there already, so that a frame is never drawn
    /// of what is known to be old.
    pub(super) async fn drain(
        &mut self,
        input: &mut Input,
        news: &mut mpsc::Receiver<Message>,
    ) -> anyhow::Result<Flow> {
        for _ in 0..DRAIN_MAX {
            let flow = if let Poll::Ready(Some(event)) = futures::poll!(input.next()) {
                self.input(event.context("the terminal is gone")?)?
            } else if let Ok(message) = news.try_recv() {
                self.take(message)?
            } else {
                break;
            };
            if flow != Flow::GoOn {
                return Ok(flow);
            }
        }
        Ok(Flow::GoOn)
    }

    pub(super) fn draw(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let now = self.clock.now();
        update::lists::arrange(&mut self.model, now);
        let model = &self.model;
        let mut next = None;
        let frame = self.screen.draw(|frame| next = view::view(model, frame, now))?;
        self.next_change = next.and_then(|next| self.clock.when(next));
        self.drawn_at = Some(Instant::now());
        self.due = None;
        if self.copied.is_empty() {
            return Ok(frame);
        }
        let mut bytes = std::mem::take(&mut self.copied);
        bytes.extend(frame.unwrap_or_default());
        Ok(Some(bytes))
    }

    /// Draws everything, on a terminal that may show anything and have any
    /// size.
    pub(super) fn appear(&mut self) -> anyhow::Result<()> {
        let size = terminal_size();
        self.screen.resize(size);
        self.model.size = size;
        self.screen.forget()?;
        if self.model.ui.mouse {
            self.copied.extend(mouse_mode(true));
        }
        self.due = Some(Instant::now());
        Ok(())
    }
}

fn mouse_mode(on: bool) -> &'static [u8] {
    if on { terminal::MOUSE_ON } else { terminal::MOUSE_OFF }
}

pub(super) fn terminal_size() -> (u16, u16) {
    crossterm::terminal::size().unwrap_or((80, 24))
}
