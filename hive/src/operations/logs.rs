//! A worker's log, for whoever asks over HTTP.

use std::time::Duration;

use protocol::{
    ApiError, ErrorCode, WorkerId,
    logs::{LogPage, LogQuery},
};
use tokio::time::{Instant, sleep};

use super::Hive;
use crate::workers::logs::{LogFiles, NotAPosition, Position};

/// How long a page waits for something to show; well below what a caller
/// waits for an answer.
const FOLLOW_WAIT: Duration = Duration::from_secs(4);
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

impl Hive {
    /// A page of the log of `id`.
    pub(crate) async fn worker_logs(
        &self,
        id: &WorkerId,
        query: &LogQuery,
    ) -> Result<LogPage, ApiError> {
        let began = Instant::now();
        let files = self.launcher.log_files(id);
        let position: Option<Position> =
            query.after.as_deref().map(str::parse).transpose().map_err(|_: NotAPosition| {
                ApiError::new(ErrorCode::BadCursor, "parameter `after` is no place in this log")
                    .with_hint("pass the `next` of the page before, or leave it out")
            })?;
        loop {
            // Every time, because it may be deleted while it is followed.
            let worker = self.workers.get(id)?;
            let (lines, next) = read(files.clone(), position.clone(), query.lines).await?;
            let is_over = began.elapsed() >= FOLLOW_WAIT;
            if !lines.is_empty() || !query.follow || position.is_none() || is_over {
                return Ok(LogPage {
                    worker_id: worker.id,
                    log_file: files.output.display().to_string(),
                    lines,
                    next: next.to_string(),
                });
            }
            sleep(FOLLOW_INTERVAL).await;
        }
    }
}

async fn read(
    files: LogFiles,
    position: Option<Position>,
    lines: u32,
) -> Result<(Vec<protocol::logs::LogLine>, Position), ApiError> {
    let shown = files.output.display().to_string();
    let lines = usize::try_from(lines).unwrap_or(usize::MAX);
    let page = tokio::task::spawn_blocking(move || match position {
        None => files.newest(lines),
        Some(position) => files.after(position, lines),
    });
    let failed = |reason: String| {
        ApiError::new(ErrorCode::Internal, format!("cannot read {shown}: {reason}"))
    };
    match page.await {
        Ok(page) => page.map_err(|error| failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
