//! The dashboard.
//!
//! ```text
//! keys, signals ─┐                          ┌─▶ screen ─▶ writer thread ─▶ terminal
//! the queen ─────┼─▶ Message ─▶ update ─▶ Model ─▶ view
//! time ──────────┘                └─▶ Effect ─▶ link ─▶ the queen
//! ```
//!
//! [`run`] is the only place that waits. `update` decides and `view` draws;
//! neither does any IO, and the time is something they are told. There is no
//! tick: with nothing to show, nothing runs.

mod actions;
mod clock;
mod configuration;
mod desk;
mod effect;
#[cfg(test)]
mod fixture;
mod keymap;
mod link;
mod message;
mod offscreen;
mod options;
mod pager;
mod replay;
mod screen;
mod session;
mod signals;
mod sizes;
mod state;
mod terminal;
mod theme;
mod update;
mod view;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use crossterm::event::{Event, EventStream};
use futures::{
    StreamExt,
    stream::{SelectAll, select_all},
};
use jiff::tz::TimeZone;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use self::{
    clock::Clock,
    desk::{Desk, Flow, terminal_size},
    effect::Effect,
    link::Link,
    message::Message,
    replay::Replay,
    screen::{Screen, Writer},
    signals::{Asked, Signals},
    state::{Model, Source},
    terminal::Guard,
    update::session::Session,
};
pub use self::{
    configuration::{Configuration, Settings},
    keymap::Keymap,
    link::StartQueen,
    offscreen::Offscreen,
    options::Options,
};
use crate::{
    feed::FindQueen,
    recording::{self, Recording, Speed},
};

/// What a dashboard needs to run.
pub struct Dashboard {
    /// The queen it shows.
    pub queen: client::Daemon,
    /// How she is found again when she is lost.
    pub find_queen: FindQueen,
    /// How one is launched when there is none.
    pub start_queen: StartQueen,
    /// How it looks, and what keys do.
    pub settings: Settings,
    /// How command lines begin that reach the same queen.
    pub program: String,
    /// Where what is copied goes that the terminal does not take.
    pub copy_file: PathBuf,
    /// The configuration that was read.
    pub configuration: Configuration,
    /// Where it is kept how the dashboard was left; none: nowhere.
    pub session_file: Option<PathBuf>,
}

/// Between frames when only news came; a key is always shown at once.
const FRAME: Duration = Duration::from_millis(33);
/// The same over a remote line.
const FRAME_OVER_SSH: Duration = Duration::from_millis(100);
/// News that may wait; beyond it the queen's connection waits.
const NEWS: usize = 1_024;
/// News taken at once.
const NEWS_AT_ONCE: usize = 256;
/// How long leaving waits for the last frame.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// Runs the dashboard on the terminal until the operator leaves, or a signal
/// asks for it. The terminal is as it was before when this returns.
pub async fn run(dashboard: Dashboard) -> anyhow::Result<()> {
    let Dashboard { queen, find_queen, start_queen, settings, program, copy_file, .. } = dashboard;
    let Dashboard { configuration, session_file, .. } = dashboard;
    let address = address(queen.base_url());
    let (sender, news) = mpsc::channel(NEWS);
    let is_read_only = settings.options.read_only;
    let link = Link::start(queen, find_queen, start_queen, copy_file, is_read_only, sender);
    let source = Feeding {
        address,
        source: Source::Queen,
        clock: Clock::World { began: Instant::now() },
        link: Partner::Queen(Box::new(link)),
        news,
        program,
        configuration,
        session_file,
    };
    terminal::DASHBOARD.scope((), show(source, settings)).await
}

/// The same with a recording in the place of the queen.
pub async fn replay(
    recording: Recording,
    speed: Speed,
    settings: Settings,
    configuration: Configuration,
) -> anyhow::Result<()> {
    let recording = Arc::new(recording);
    let clock = recording::Clock::start(&recording, speed);
    let (sender, news) = mpsc::channel(NEWS);
    let is_cut_off = recording.is_cut_off;
    let source = Feeding {
        address: address(&recording.header.queen),
        source: Source::Recording { is_cut_off },
        clock: Clock::Recording(Arc::clone(&recording), clock),
        link: Partner::Recording(Replay::start(recording, clock, sender)),
        news,
        program: "rbee-keeper".to_owned(),
        configuration,
        session_file: None,
    };
    terminal::DASHBOARD.scope((), show(source, settings)).await
}

/// An address as a person reads it.
pub(crate) fn address(url: &str) -> String {
    // Port 0 means whichever is free, so it is nobody's.
    url.trim_start_matches("http://").trim_end_matches(":0").to_owned()
}

/// Who speaks to the dashboard, and what time it is there.
struct Feeding {
    address: String,
    source: Source,
    clock: Clock,
    link: Partner,
    news: mpsc::Receiver<Message>,
    /// How command lines begin that reach the same queen.
    program: String,
    configuration: Configuration,
    session_file: Option<PathBuf>,
}

/// Who is asked to do things.
enum Partner {
    Queen(Box<Link>),
    Recording(Replay),
}

impl Partner {
    fn execute(&mut self, effect: Effect) {
        match self {
            Self::Queen(link) => link.execute(effect),
            Self::Recording(replay) => replay.execute(effect),
        }
    }
}

/// Why the loop woke up.
enum Woken {
    Signal(Asked),
    Input(Option<io::Result<Event>>),
    Written(io::Result<()>),
    Frame,
    News(usize),
    Tick,
}

async fn show(feeding: Feeding, settings: Settings) -> anyhow::Result<()> {
    let Feeding { address, source, clock, link, news, program, .. } = feeding;
    let Feeding { configuration, session_file, .. } = feeding;
    let Settings { options, keymap, mut notices } = settings;
    // Under NO_COLOR crossterm would print resets that undo bold and reverse;
    // what is coloured is decided by the theme alone.
    crossterm::style::force_color_output(true);
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let guard = Guard::take().context("standard output is not a terminal that can be used")?;
    let mut writer = Writer::start(guard.file()?)?;
    let size = terminal_size();
    let mut model = Model::new(address, options.theme, TimeZone::system(), size);
    model.program = program;
    model.set_keymap(keymap);
    if let Some(file) = &session_file {
        match session::read(file, &model.address) {
            Ok(Some(session)) => update::session::restore(&mut model, session),
            Ok(None) => {}
            Err(problem) => notices.push(problem),
        }
    }
    model.can_copy = options.can_copy;
    let mut desk = Desk {
        model: Model { source, is_read_only: options.read_only, ..model },
        screen: Screen::new(size)?,
        link,
        clock,
        frame: least_between_frames(options),
        configuration,
        due: Some(Instant::now()),
        drawn_at: None,
        listen_at: None,
        next_change: None,
        copied: Vec::new(),
    };
    if desk.model.source == Source::Queen {
        let file = desk.configuration.paths.config_file();
        desk.model.queen.config = Some(file.display().to_string());
    }
    desk.take(Message::Noticed(notices))?;
    let left = attend(&mut desk, news, &guard, &mut signals, &mut writer).await;
    if let Some(file) = &session_file
        && let Err(error) = session::write(file, &desk.model.address, Session::of(&desk.model))
    {
        tracing::warn!(%error, file = %file.display(), "the session is not kept");
    }
    left
}

fn least_between_frames(options: Options) -> Duration {
    options.frame.unwrap_or(if options.over_ssh { FRAME_OVER_SSH } else { FRAME })
}

/// Takes in whatever happens until it is time to leave.
async fn attend(
    desk: &mut Desk,
    mut news: mpsc::Receiver<Message>,
    guard: &Guard,
    signals: &mut Signals,
    writer: &mut Writer,
) -> anyhow::Result<()> {
    let mut input = keys();
    let mut batch = Vec::new();
    loop {
        if !writer.is_busy() && desk.due.is_some_and(|due| due <= Instant::now()) {
            match desk.drain(&mut input, &mut news).await? {
                Flow::GoOn => {}
                Flow::Leave => break,
                away => input = lend(away, input, guard, signals, writer, desk).await?,
            }
            if let Some(frame) = desk.draw()? {
                writer.write(frame)?;
            }
        }
        let (due, listen_at, next_change) = (desk.due, desk.listen_at, desk.next_change);
        let woken = tokio::select! {
            biased;
            asked = signals.next() => Woken::Signal(asked),
            event = input.next() => Woken::Input(event),
            result = writer.done(), if writer.is_busy() => Woken::Written(result),
            () = at(due), if due.is_some() && !writer.is_busy() => Woken::Frame,
            count = hear(&mut news, &mut batch, listen_at) => Woken::News(count),
            () = at(next_change), if next_change.is_some() => Woken::Tick,
        };
        let flow = match woken {
            Woken::Signal(Asked::Leave) | Woken::Input(None) => Flow::Leave,
            Woken::Signal(Asked::GoOn) => {
                guard.enter()?;
                desk.appear()?;
                Flow::GoOn
            }
            Woken::Input(Some(event)) => desk.input(event.context("the terminal is gone")?)?,
            Woken::Written(result) => {
                result.context("the terminal is gone")?;
                Flow::GoOn
            }
            Woken::Frame => Flow::GoOn,
            // The link holds a sender as long as this loop runs.
            Woken::News(0) => Flow::Leave,
            Woken::News(_) => desk.news(&mut batch)?,
            Woken::Tick => desk.tick()?,
        };
        match flow {
            Flow::GoOn => {}
            Flow::Leave => break,
            away => input = lend(away, input, guard, signals, writer, desk).await?,
        }
    }
    // The reader of keys first: it would take what is typed for the shell.
    drop(input);
    drop(timeout(LAST_FRAME, writer.done()).await);
    Ok(())
}

/// What is typed.
type Input = SelectAll<EventStream>;

/// Begins to read it. crossterm's stream is asked only when it said that there
/// is something: each time it is asked in vain it spins for the lock that its
/// own thread holds while it waits, and on a busy machine that takes longer
/// than everything else.
fn keys() -> Input {
    select_all([EventStream::new()])
}

async fn at(time: Option<Instant>) {
    // What is past would still be a turn of the timer's thread away.
    if let Some(time) = time.filter(|time| *time > Instant::now()) {
        sleep_until(time).await;
    }
}

/// Waits for news, from this time on. What comes between frames is taken
/// together: woken by each token, the dashboard would do little else.
async fn hear(
    news: &mut mpsc::Receiver<Message>,
    batch: &mut Vec<Message>,
    from: Option<Instant>,
) -> usize {
    at(from).await;
    news.recv_many(batch, NEWS_AT_ONCE).await
}

/// Lends the terminal: to the shell until it says `fg`, or to a pager until it
/// ends.
async fn lend(
    to: Flow,
    input: Input,
    guard: &Guard,
    signals: &mut Signals,
    writer: &mut Writer,
    desk: &mut Desk,
) -> anyhow::Result<Input> {
    // A pager or an editor runs beside the reader of keys, which would take what is typed for
    // them. One that the shell stops takes nothing; and if it were given up, its thread might
    // be stopped before it has noticed, and take the first key that is meant for the next one.
    let input = match to {
        Flow::Page(_) | Flow::Edit => {
            drop(input);
            None
        }
        _ => Some(input),
    };
    writer.done().await?;
    guard.leave();
    let came_of_it = match to {
        Flow::Page(text) => {
            let paged = signals.apart_from_interrupts(pager::show(&text)).await;
            Some(Message::Paged(paged))
        }
        Flow::Edit => {
            let editing = desk.configuration.edit();
            let (edited, options) = signals.apart_from_interrupts(editing).await;
            if let Some(options) = options {
                desk.frame = least_between_frames(options);
            }
            Some(edited)
        }
        _ => {
            signals.stop().await?;
            None
        }
    };
    guard.enter()?;
    desk.appear()?;
    if let Some(message) = came_of_it {
        desk.take(message)?;
    }
    Ok(input.unwrap_or_else(keys))
}
