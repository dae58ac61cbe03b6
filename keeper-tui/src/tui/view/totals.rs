//! What the fleet comes to, for the header.

use super::widgets::{count, latency, memory, rate, share};
use crate::tui::state::Model;

/// How much there is, as far as there is room for it.
pub(super) fn line(model: &Model, room: usize) -> String {
    let fleet = &model.fleet;
    let workers: usize = model.totals.iter().map(|(_, crew)| crew.alive).sum();
    let gpus = fleet.devices.values().filter(|it| !it.id.is_cpu()).count();
    let running = fleet.jobs.values().filter(|it| !it.state.is_ended()).count();
    let queued = fleet.queen.as_ref().map_or(0, |queen| queen.queued);
    let speed = speed(model).map(|speed| format!("{} tok/s", rate(Some(speed))));
    let busy = busy(model).map(|busy| format!("busy {}", share(Some(busy))));
    let waits = fleet.queen.as_ref().and_then(|queen| queen.time_to_first_token);
    let waits = waits.map(|it| {
        format!("ttft p50 {} p95 {}", latency(Some(it.p50_ms)), latency(Some(it.p95_ms)))
    });
    // With how soon each gives way.
    let mut long = vec![
        (0, count(fleet.hives.len(), "hive", "hives")),
        (0, count(workers, "worker", "workers")),
        (0, count(gpus, "GPU", "GPUs")),
        (1, busy.unwrap_or_default()),
        (3, gpu_memory(model).unwrap_or_default()),
        (0, format!("{} running", count(running, "job", "jobs"))),
        (0, format!("queue {queued}")),
        (2, waits.unwrap_or_default()),
        (0, speed.clone().unwrap_or_default()),
    ];
    long.retain(|(_, part)| !part.is_empty());
    for rank in (0..=3).rev() {
        let parts: Vec<&str> = long.iter().map(|(_, part)| part.as_str()).collect();
        let text = parts.join("  ");
        if text.chars().count() <= room {
            return text;
        }
        long.retain(|(soon, _)| *soon < rank);
    }
    let short = [
        count(fleet.hives.len(), "hive", "hives"),
        format!("{workers} wk"),
        format!("{gpus} GPU"),
        if queued > 0 { format!("queue {queued}") } else { String::new() },
        speed.unwrap_or_default(),
    ];
    let shorter = [count(fleet.hives.len(), "hive", "hives"), format!("{workers} wk")];
    for parts in [&short[..], &shorter[..]] {
        let parts: Vec<&str> =
            parts.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        let text = parts.join("  ");
        if text.chars().count() <= room {
            return text;
        }
    }
    String::new()
}

/// All workers that are heard of together; unknown when nobody generates.
fn speed(model: &Model) -> Option<f64> {
    let heard = model.totals.iter().filter(|(hive, _)| model.is_current(hive));
    heard.filter_map(|(_, crew)| crew.speed()).reduce(|a, b| a + b)
}

/// How many of the slots that are heard of are taken, 0 to 1.
fn busy(model: &Model) -> Option<f64> {
    let heard = model.totals.iter().filter(|(hive, _)| model.is_current(hive));
    let (busy, all) =
        heard.fold((0, 0), |(busy, all), (_, crew)| (busy + crew.slots_busy, all + crew.slots));
    (all > 0).then(|| busy as f64 / all as f64)
}

/// `VRAM 611/904G`: of the GPUs that say both and are heard of.
fn gpu_memory(model: &Model) -> Option<String> {
    let gpus = model.fleet.devices.values().filter(|it| !it.id.is_cpu());
    let heard = gpus.filter(|it| model.is_current(&it.hive_id));
    let known = heard.filter_map(|it| it.memory_used_bytes.zip(it.memory_total_bytes));
    let sum =
        known.reduce(|(a, b), (used, total)| (a.saturating_add(used), b.saturating_add(total)));
    sum.map(|(used, total)| format!("VRAM {}", memory(Some(used), Some(total))))
}
