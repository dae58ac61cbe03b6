//! `model plan`: where a model would fit, with what arithmetic, and what would
//! have to go.
//!
//! ```text
//! weights + KV cache (slots × tokens × bytes per token) + working memory  <=  free?
//! ```
//!
//! The arithmetic is a plain function over records; it loads nothing and
//! promises nothing, because others may take memory meanwhile.

use protocol::{
    DeviceId, HiveId, ModelRef, Timestamp, WorkerId,
    fleet::{DeviceKind, DeviceRecord, Snapshot, WorkerRecord},
    model::{ModelRecord, ModelState},
    operation::{HiveOperation, ModelGet, Operation},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Cx, Wanted,
    args::checked,
    exit::{Exit, Failure, Outcome},
    follow,
    output::{Block, Report},
    table::{Cell, Table, age, bytes},
    terminal::Tone,
};

/// What a driver takes on a GPU for every process that computes there.
const GPU_CONTEXT_BYTES: u64 = 512 * 1024 * 1024;
/// Of a model whose header nobody has read: the context and the work on it as
/// a part of the weights, as a hive reckons when it chooses a device.
const UNKNOWN_PART: u64 = 4;

/// What a worker would need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The files.
    pub weight_bytes: u64,
    /// Requests at once.
    pub slots: u32,
    /// Tokens that each may hold; unknown before the header was read.
    pub context_length: Option<u64>,
    /// Per token and slot.
    pub kv_bytes_per_token: Option<u64>,
    /// The caches of all slots.
    pub kv_bytes: u64,
    /// Beside both.
    pub overhead_bytes: u64,
}

/// What that means on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The machine.
    pub hive_id: HiveId,
    /// The device.
    pub device: DeviceId,
    /// What is needed there.
    pub needed_bytes: u64,
    /// What is free there.
    pub free_bytes: Option<u64>,
    /// Whether it fits.
    pub fit: Fit,
    /// The workers that would have to go.
    pub evict: Vec<WorkerId>,
}

/// Whether a model fits on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// As things are.
    Yes,
    /// Once others have gone.
    AfterEvicting,
    /// Never, or not by anything that is ours to stop.
    No,
    /// The device does not say what it has.
    Unknown,
}

impl Need {
    /// Of this model.
    pub fn of(model: &ModelRecord, slots: u32, context_length: Option<u32>) -> Self {
        let limit = model.context_length_max.or(model.context_length);
        let context_length = match (context_length.map(u64::from), limit) {
            (Some(wanted), Some(limit)) => Some(wanted.min(limit)),
            (wanted, limit) => wanted.or(limit),
        };
        let known = context_length.zip(model.kv_bytes_per_token);
        let kv_bytes = known
            .map(|(tokens, each)| tokens.saturating_mul(each).saturating_mul(u64::from(slots)));
        // The estimate holds one slot's whole context; what is left is what
        // the worker takes beside it.
        let overhead = || {
            let one_slot = model.context_length_max?.saturating_mul(model.kv_bytes_per_token?);
            Some(model.memory_bytes_estimate?.saturating_sub(model.bytes.saturating_add(one_slot)))
        };
        Self {
            weight_bytes: model.bytes,
            slots,
            context_length,
            kv_bytes_per_token: model.kv_bytes_per_token,
            kv_bytes: kv_bytes.unwrap_or(model.bytes / UNKNOWN_PART),
            overhead_bytes: overhead().unwrap_or_default(),
        }
    }

    fn on(&self, device: &DeviceRecord) -> u64 {
        let context = if device.kind == DeviceKind::Gpu { GPU_CONTEXT_BYTES } else { 0 };
        [self.kv_bytes, self.overhead_bytes, context]
            .into_iter()
            .fold(self.weight_bytes, u64::saturating_add)
    }

    fn arithmetic(&self) -> String {
        let kv = match (self.context_length, self.kv_bytes_per_token) {
            (Some(tokens), Some(each)) => format!(
                "KV cache {} ({} × {tokens} tokens × {})",
                bytes(self.kv_bytes),
                if self.slots == 1 { "1 slot".to_owned() } else { format!("{} slots", self.slots) },
                bytes(each)
            ),
            _ => format!(
                "context {} (a quarter of the weights: its header has not been read)",
                bytes(self.kv_bytes)
            ),
        };
        let weights = bytes(self.weight_bytes);
        let overhead = match self.kv_bytes_per_token {
            Some(_) => format!(" + working memory {}", bytes(self.overhead_bytes)),
            None => String::new(),
        };
        format!(
            "needs: weights {weights} + {kv}{overhead}; on a GPU {} more for its driver",
            bytes(GPU_CONTEXT_BYTES)
        )
    }
}

/// What it means on each device.
pub fn places(need: &Need, devices: &[DeviceRecord], workers: &[WorkerRecord]) -> Vec<Place> {
    devices.iter().map(|device| place(need, device, workers)).collect()
}

fn place(need: &Need, device: &DeviceRecord, workers: &[WorkerRecord]) -> Place {
    let needed_bytes = need.on(device);
    let of_device = |worker: &&WorkerRecord| {
        (&worker.hive_id, &worker.device) == (&device.hive_id, &device.id)
            && !worker.state.is_ended()
    };
    let free_bytes = device
        .memory_total_bytes
        .zip(device.memory_used_bytes)
        .map(|(total, used)| total.saturating_sub(used));
    let mut place = Place {
        hive_id: device.hive_id.clone(),
        device: device.id.clone(),
        needed_bytes,
        free_bytes,
        fit: Fit::Unknown,
        evict: Vec::new(),
    };
    place.fit = match free_bytes {
        _ if device.unavailable.is_some() => Fit::No,
        None => Fit::Unknown,
        Some(free) if needed_bytes <= free => Fit::Yes,
        Some(free) => match evict(needed_bytes - free, workers.iter().filter(of_device)) {
            Some(workers) => {
                place.evict = workers;
                Fit::AfterEvicting
            }
            None => Fit::No,
        },
    };
    place
}

/// The fewest workers that hold `missing` bytes, those first that do nothing.
fn evict<'a>(
    missing: u64,
    workers: impl Iterator<Item = &'a WorkerRecord>,
) -> Option<Vec<WorkerId>> {
    let mut workers: Vec<_> = workers.filter_map(|it| Some((it, it.memory_bytes?))).collect();
    workers.sort_by_key(|(worker, memory)| {
        (worker.slots_busy.unwrap_or_default() > 0, std::cmp::Reverse(*memory))
    });
    let (mut freed, mut chosen) = (0_u64, Vec::new());
    for (worker, memory) in workers {
        if freed >= missing {
            break;
        }
        freed = freed.saturating_add(memory);
        chosen.push((worker.id.clone(), memory));
    }
    if freed < missing {
        return None;
    }
    // A small one that was taken before a large one may not be needed.
    let mut spare = freed - missing;
    chosen.retain(|(_, memory)| {
        let is_needed = *memory > spare;
        if !is_needed {
            spare -= memory;
        }
        is_needed
    });
    Some(chosen.into_iter().map(|(id, _)| id).collect())
}

/// `model plan`
pub async fn plan(
    cx: &mut Cx,
    model: ModelRef,
    hive: Option<HiveId>,
    slots: u32,
    context_length: Option<u32>,
) -> Outcome {
    let queen = cx.queen(Wanted::Started).await?;
    let hive_id = hive.clone().unwrap_or_default();
    let get = HiveOperation::from(ModelGet { hive_id, id: model, hub: true });
    let operation = checked(Operation::from(get))?;
    let Some(ended) = follow::run(cx, &queen, &operation).await? else { return Ok(Exit::Done) };
    let record = ended.answer.result.get("model").cloned().unwrap_or_default();
    let record = ModelRecord::deserialize(record).map_err(|error| {
        Failure::new(Exit::Failed, "undecodable", format!("cannot read the hive's answer: {error}"))
            .with_hint("is the hive of another version? rbee-keeper hive list")
    })?;
    let snapshot = queen.status().await?;
    let report = report(&record, &snapshot, hive.as_ref(), slots, context_length, Timestamp::now());
    cx.out.report(Some(&ended.job), &report)?;
    Ok(report.exit)
}

fn report(
    model: &ModelRecord,
    snapshot: &Snapshot,
    hive: Option<&HiveId>,
    slots: u32,
    context_length: Option<u32>,
    now: Timestamp,
) -> Report {
    let need = Need::of(model, slots, context_length);
    let devices: Vec<DeviceRecord> = snapshot
        .devices
        .iter()
        .filter(|it| hive.is_none_or(|hive| it.hive_id == *hive))
        .cloned()
        .collect();
    let places = places(&need, &devices, &snapshot.workers);
    let mut blocks = vec![Block::Line(headline(model)), Block::Line(need.arithmetic())];
    if places.is_empty() {
        blocks.push(Block::Line("no devices are known; rbee-keeper hive start".to_owned()));
    } else {
        blocks.push(Block::Line(String::new()));
        blocks.push(Block::Table(table(&places, snapshot, now)));
    }
    let fits = places.iter().any(|place| place.fit == Fit::Yes);
    Report {
        document: json!({ "model": model, "need": need, "places": places }),
        names: places
            .iter()
            .filter(|place| place.fit == Fit::Yes)
            .map(|place| format!("{}/{}", place.hive_id, place.device))
            .collect(),
        blocks,
        exit: if fits { Exit::Done } else { Exit::Degraded },
    }
}

fn headline(model: &ModelRecord) -> String {
    let facts = [
        model.architecture.clone(),
        model.quantisation.clone(),
        model.context_length.map(|tokens| format!("made for {tokens} tokens")),
        match model.state {
            ModelState::Available => Some("not downloaded".to_owned()),
            state => Some(format!("{} on {}", state.as_str(), model.hive_id)),
        },
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    format!("{}: {}", model.id, facts.join(", "))
}

fn table(places: &[Place], snapshot: &Snapshot, now: Timestamp) -> Table {
    let mut table = Table::new(["HIVE", "DEVICE", ">NEEDS", ">FREE", "FITS", "WOULD HAVE TO GO"]);
    for place in places {
        let (word, tone) = match place.fit {
            Fit::Yes => ("yes", Tone::Good),
            Fit::AfterEvicting => ("not now", Tone::Warn),
            Fit::No => ("no", Tone::Bad),
            Fit::Unknown => ("unknown", Tone::Faint),
        };
        let going = place.evict.iter().map(|id| {
            let worker = snapshot.workers.iter().find(|worker| worker.id == *id);
            match worker.and_then(|worker| worker.started_at) {
                Some(started) => format!("{id} (runs for {})", age(started, now)),
                None => id.to_string(),
            }
        });
        let going: Vec<String> = going.collect();
        table.row([
            Cell::new(&place.hive_id),
            Cell::new(&place.device),
            Cell::new(bytes(place.needed_bytes)),
            Cell::from(place.free_bytes.map(bytes)),
            Cell::toned(word, tone),
            Cell::from((!going.is_empty()).then(|| going.join(", "))),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn model() -> ModelRecord {
        serde_json::from_value(json!({
            "id": "o/r", "hive_id": "localhost", "source": "hub", "files": [],
            "bytes": 1000 * MIB, "state": "ready", "context_length": 8192,
            "context_length_max": 4096, "kv_bytes_per_token": MIB / 4096,
            "memory_bytes_estimate": 1101 * MIB, "used_by": [],
        }))
        .unwrap()
    }

    fn device(id: &str, total: Option<u64>, used: u64) -> DeviceRecord {
        let kind = if id.starts_with("GPU") { "gpu" } else { "cpu" };
        serde_json::from_value(json!({
            "id": id, "hive_id": "localhost", "kind": kind, "name": "x",
            "memory_total_bytes": total.map(|it| it * MIB), "memory_used_bytes": used * MIB,
        }))
        .unwrap()
    }

    fn worker(id: &str, memory: Option<u64>, busy: u32) -> WorkerRecord {
        serde_json::from_value(json!({
            "id": id, "hive_id": "localhost", "model": "demo", "device": "CPU-0", "state": "ready",
            "incarnation": 1, "slots_busy": busy, "memory_bytes": memory.map(|it| it * MIB),
        }))
        .unwrap()
    }

    #[test]
    fn a_need_is_weights_and_caches_and_what_is_beside_them() {
        let need = Need::of(&model(), 4, Some(2048));
        assert_eq!(need.kv_bytes, 4 * 2048 * (MIB / 4096));
        assert_eq!(need.overhead_bytes, 100 * MIB);
        assert_eq!(
            need.arithmetic(),
            "needs: weights 1000.0 MiB + KV cache 2.0 MiB (4 slots × 2048 tokens × 256 B) + \
             working memory 100.0 MiB; on a GPU 512.0 MiB more for its driver"
        );
        assert_eq!(Need::of(&model(), 1, Some(100_000)).context_length, Some(4096));
    }

    #[test]
    fn a_model_whose_header_nobody_read_is_reckoned_by_its_size() {
        let unread = ModelRecord {
            kv_bytes_per_token: None,
            memory_bytes_estimate: None,
            context_length: None,
            context_length_max: None,
            ..model()
        };
        let need = Need::of(&unread, 1, None);
        assert_eq!((need.kv_bytes, need.overhead_bytes), (250 * MIB, 0));
        assert_eq!(
            need.arithmetic(),
            "needs: weights 1000.0 MiB + context 250.0 MiB (a quarter of the weights: its header \
             has not been read); on a GPU 512.0 MiB more for its driver"
        );
    }

    #[test]
    fn a_place_says_whether_it_fits_and_a_gpu_needs_more() {
        let need = Need::of(&model(), 1, None);
        let fit = |device: &DeviceRecord| place(&need, device, &[]).fit;
        assert_eq!(fit(&device("CPU-0", Some(2000), 800)), Fit::Yes);
        assert_eq!(fit(&device("GPU-0", Some(2000), 800)), Fit::No);
        assert_eq!(fit(&device("CPU-0", None, 0)), Fit::Unknown);
        let broken =
            DeviceRecord { unavailable: Some("lost".to_owned()), ..device("GPU-0", Some(9000), 0) };
        assert_eq!(fit(&broken), Fit::No);
    }

    #[test]
    fn the_fewest_workers_have_to_go_and_the_idle_ones_first() {
        let need = Need::of(&model(), 1, None);
        let cpu = device("CPU-0", Some(2000), 1500);
        let evicted = |workers: &[WorkerRecord]| {
            let place = place(&need, &cpu, workers);
            let ids: Vec<String> = place.evict.iter().map(ToString::to_string).collect();
            (place.fit, ids)
        };
        let after =
            |ids: &[&str]| (Fit::AfterEvicting, ids.iter().map(|it| (*it).to_owned()).collect());
        // 1101 MiB are needed and 500 free.
        assert_eq!(
            evicted(&[worker("wk-1", Some(700), 1), worker("wk-2", Some(650), 0)]),
            after(&["wk-2"])
        );
        assert_eq!(
            evicted(&[worker("wk-1", Some(700), 1), worker("wk-2", Some(100), 0)]),
            after(&["wk-1"])
        );
        assert_eq!(
            evicted(&[worker("wk-1", Some(300), 0), worker("wk-2", None, 0)]),
            (Fit::No, vec![])
        );
    }
}
