//! The machine's devices: sampled once a second, shown when they change.
//!
//! ```text
//! thread "gpus"  ──▶ watch ─┐
//! thread "cpu"   ──▶ watch ─┼─▶ one task: Inventory ─▶ watch (Devices) and feed
//! clock: a read of 2 s ──────┘
//! ```
//!
//! A driver can hang in any call and cannot be interrupted, so each source is
//! asked on a thread of its own and hands over only its newest reading. A hung
//! driver costs its GPUs their numbers and nobody else anything.
//!
//! Nothing here chooses a device; that is [`choice`]. Whether a model fits is
//! [`memory`]'s to say.

pub(crate) mod choice;
mod cpu;
mod gpu;
mod inventory;
pub(crate) mod memory;
mod nvml;

use std::{collections::BTreeMap, io, thread, time::Duration};

use daemon::feed::Feed;
use protocol::{
    DeviceId, HiveId, WorkerId,
    fleet::{Capabilities, DeviceRecord, FeedEvent},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    cpu::{CpuSample, Machine},
    gpu::GpuReading,
    inventory::Inventory,
    nvml::Driver,
};

/// One reading a second is what a person can follow.
const INTERVAL: Duration = Duration::from_secs(1);
/// A driver that takes longer for one reading hangs, as far as anybody should
/// wait; a reading that comes later all the same counts again.
const READ_MAX: Duration = Duration::from_secs(2);
/// From one reading to the next, at most.
const SILENCE_MAX: Duration = INTERVAL.saturating_add(READ_MAX);
/// Opening a driver that is not in use takes about a second.
const FIRST_READING_PATIENCE: Duration = Duration::from_secs(3);

/// What is known of the devices. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Devices {
    view: watch::Receiver<View>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct View {
    records: Vec<DeviceRecord>,
    uuids: BTreeMap<DeviceId, String>,
    note: Option<String>,
}

impl Devices {
    /// Starts sampling for `feed`, until `stop`. Returns once each source has
    /// answered, or has had its time to.
    pub(crate) async fn start(
        hive_id: HiveId,
        feed: Feed,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let mut driver = Driver::default();
        let mut machine = Machine::new();
        let mut gpus = sample_on_thread("gpus", stop.clone(), move || driver.read())?;
        let mut cpu = sample_on_thread("cpu", stop.clone(), move || machine.read())?;
        let first = async { tokio::join!(gpus.changed(), cpu.changed()) };
        if timeout(FIRST_READING_PATIENCE, first).await.is_err() {
            tracing::warn!("the devices have not answered; starting without them");
        }
        let inventory = Inventory::new(hive_id);
        let (publish, view) = watch::channel(View::default());
        let mut publisher = Publisher { inventory, gpus, cpu, feed, publish };
        publisher.take_gpus();
        publisher.take_cpu();
        publisher.show();
        tokio::spawn(async move {
            tokio::select! {
                () = publisher.run() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(Self { view })
    }

    /// The devices as last read, the GPUs first.
    pub(crate) fn records(&self) -> Vec<DeviceRecord> {
        self.view.borrow().records.clone()
    }

    /// One device as last read.
    pub(crate) fn record(&self, id: &DeviceId) -> Option<DeviceRecord> {
        self.view.borrow().records.iter().find(|it| it.id == *id).cloned()
    }

    /// What CUDA calls a GPU.
    pub(crate) fn uuid(&self, id: &DeviceId) -> Option<String> {
        self.view.borrow().uuids.get(id).cloned()
    }

    /// The answer to `GET /capabilities`.
    pub(crate) fn capabilities(&self) -> Capabilities {
        let View { records, note, .. } = self.view.borrow().clone();
        Capabilities {
            devices: records.into_iter().filter_map(inventory::capability).collect(),
            note,
        }
    }

    /// Devices that never change.
    #[cfg(test)]
    pub(crate) fn fixed(records: Vec<DeviceRecord>, note: Option<&str>) -> Self {
        let note = note.map(str::to_owned);
        Self { view: watch::channel(View { records, note, ..View::default() }).1 }
    }
}

/// Calls `read` once a second on a thread of its own. Only the newest reading
/// is kept; `None` until there is one.
fn sample_on_thread<T: Send + Sync + 'static>(
    name: &str,
    stop: CancellationToken,
    mut read: impl FnMut() -> T + Send + 'static,
) -> io::Result<watch::Receiver<Option<T>>> {
    let (readings, newest) = watch::channel(None);
    let sample = move || {
        while !stop.is_cancelled() && readings.send(Some(read())).is_ok() {
            thread::sleep(INTERVAL);
        }
    };
    // Not waited for at the end: it may hang in the driver.
    thread::Builder::new().name(format!("devices-{name}")).spawn(sample)?;
    Ok(newest)
}

/// Owns the inventory, and shows what becomes of it.
struct Publisher {
    inventory: Inventory,
    gpus: watch::Receiver<Option<GpuReading>>,
    cpu: watch::Receiver<Option<CpuSample>>,
    feed: Feed,
    publish: watch::Sender<View>,
}

impl Publisher {
    async fn run(&mut self) {
        let mut gpus_heard_at = Instant::now();
        let mut is_silent = false;
        loop {
            tokio::select! {
                heard = self.gpus.changed() => {
                    if heard.is_err() {
                        return;
                    }
                    (gpus_heard_at, is_silent) = (Instant::now(), false);
                    self.take_gpus();
                }
                heard = self.cpu.changed() => {
                    if heard.is_err() {
                        return;
                    }
                    self.take_cpu();
                }
                () = sleep_until(gpus_heard_at + SILENCE_MAX), if !is_silent => {
                    is_silent = true;
                    let limit = READ_MAX.as_secs();
                    tracing::warn!("the NVIDIA driver has not answered for {limit} s");
                    self.inventory.gpus_lost(format!(
                        "the NVIDIA driver has not answered for {limit} s"
                    ));
                }
            }
            self.show();
        }
    }

    fn take_gpus(&mut self) {
        let Some(reading) = self.gpus.borrow_and_update().clone() else { return };
        let ours = self.feed.look(|fleet| {
            let workers = fleet.workers.values();
            workers.filter_map(|it| Some((it.pid?, it.id.clone()))).collect::<Vec<_>>()
        });
        let owner = |pid: u32| -> Option<WorkerId> {
            ours.iter().find(|(its_pid, _)| *its_pid == pid).map(|(_, id)| id.clone())
        };
        self.inventory.gpus_read(reading, &owner);
    }

    fn take_cpu(&mut self) {
        if let Some(sample) = self.cpu.borrow_and_update().clone() {
            self.inventory.cpu_read(sample);
        }
    }

    fn show(&self) {
        let view = View {
            records: self.inventory.records(),
            uuids: self.inventory.uuids().clone(),
            note: self.inventory.note(),
        };
        // The feed itself passes over a record that says nothing new.
        for record in &view.records {
            self.feed.publish(FeedEvent::Device(record.clone().into()));
        }
        self.publish.send_if_modified(|shown| {
            let is_news = *shown != view;
            *shown = view;
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use protocol::fleet::DeviceKind;

    use super::{gpu::GpuSample, *};

    fn publisher(
        gpus: watch::Receiver<Option<GpuReading>>,
    ) -> (Publisher, Devices, watch::Sender<Option<CpuSample>>) {
        let (cpu_readings, cpu) = watch::channel(None);
        let (publish, view) = watch::channel(View::default());
        let inventory = Inventory::new(HiveId::localhost());
        (
            Publisher { inventory, gpus, cpu, feed: Feed::new(), publish },
            Devices { view },
            cpu_readings,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_hangs_for_two_seconds_loses_its_gpus_and_nothing_else() {
        let (gpu_readings, gpus) = watch::channel(None);
        let (mut publisher, mut devices, cpu_readings) = publisher(gpus);
        tokio::spawn(async move { publisher.run().await });
        let gpu = GpuSample { utilisation_percent: Some(50.0), ..GpuSample::default() };
        gpu_readings.send(Some(Ok(vec![gpu]))).unwrap();
        devices.view.wait_for(|view| view.records.len() == 2).await.unwrap();

        let is_lost = |view: &View| view.records.iter().any(|it| it.unavailable.is_some());
        let lost = devices.view.wait_for(is_lost).await.unwrap().clone();
        assert_eq!(
            lost.records[0].unavailable.as_deref(),
            Some("the NVIDIA driver has not answered for 2 s")
        );
        assert_eq!(lost.records[0].utilisation_percent, None);
        assert_eq!(devices.capabilities().devices.len(), 1);

        let sample = CpuSample { cores: Some(3), ..CpuSample::default() };
        cpu_readings.send(Some(sample)).unwrap();
        let has_cores = |view: &View| view.records[1].cores == Some(3);
        devices.view.wait_for(has_cores).await.unwrap();
        gpu_readings.send(Some(Ok(vec![GpuSample::default()]))).unwrap();
        devices.view.wait_for(|view| !is_lost(view)).await.unwrap();
    }

    #[tokio::test]
    async fn this_machine_has_a_cpu_and_says_why_it_has_no_gpu_if_it_has_none() {
        let stop = CancellationToken::new();
        let feed = Feed::new();
        let devices = Devices::start(HiveId::localhost(), feed.clone(), stop).await.unwrap();
        let records = devices.records();
        let cpu = records.last().unwrap();
        assert_eq!(cpu.kind, DeviceKind::Cpu);
        assert!(cpu.cores >= Some(1));
        let has_gpu = devices.capabilities().devices.iter().any(|it| !it.id.is_cpu());
        assert_eq!(devices.capabilities().note.is_none(), has_gpu);
        assert_eq!(feed.fleet().devices.len(), records.len());
    }

    #[test]
    fn a_source_that_hangs_holds_only_its_own_thread() {
        let (_never, hang) = mpsc::channel::<()>();
        let newest =
            sample_on_thread("test", CancellationToken::new(), move || hang.recv().is_ok());
        assert_eq!(*newest.unwrap().borrow(), None);
    }
}
