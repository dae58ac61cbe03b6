//! What the rows of each table can be filtered and sorted by.

use std::{borrow::Cow, cmp::Ordering};

use protocol::{
    HiveId, ModelRef, WorkerId,
    fleet::{DeviceRecord, HiveRecord, WorkerRecord},
    job::JobRecord,
};

use super::models::Listed;

/// What stands in one column of one row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// Words.
    Text(Cow<'a, str>),
    /// A figure, when it is known.
    Figure(Option<f64>),
}

impl Cell<'_> {
    /// Words by the alphabet, figures by their size, the unknown last.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Figure(Some(a)), Self::Figure(Some(b))) => a.total_cmp(b),
            (Self::Figure(Some(_)), _) => Ordering::Less,
            (_, Self::Figure(Some(_))) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }

    /// Whether nothing is known.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Figure(None))
    }
}

/// One column.
pub(crate) struct Field<R: 'static> {
    /// Its name in a filter.
    pub(crate) name: &'static str,
    /// Its letter in the choice of a sort order; none that moves a cursor.
    pub(crate) letter: char,
    /// What stands in it.
    pub(crate) cell: fn(&R) -> Cell<'_>,
}

/// Something that a table has rows of.
pub(crate) trait Row: Sized + 'static {
    /// Its columns.
    const FIELDS: &'static [Field<Self>];

    /// The machine it is on.
    fn hive(&self) -> Option<&HiveId>;
}

/// The letters of all columns of all tables.
pub(crate) fn letters() -> impl Iterator<Item = char> {
    fn of<R: Row>() -> impl Iterator<Item = char> {
        R::FIELDS.iter().map(|field| field.letter)
    }
    let of_machines = of::<HiveRecord>().chain(of::<WorkerRecord>()).chain(of::<DeviceRecord>());
    of_machines.chain(of::<Listed>()).chain(of::<JobRecord>())
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(Cow::Borrowed(text))
}

fn maybe(id: Option<&str>) -> Cell<'_> {
    text(id.unwrap_or_default())
}

fn figure<'a>(value: Option<impl Into<f64>>) -> Cell<'a> {
    Cell::Figure(value.map(Into::into))
}

/// In GiB, as it is typed.
fn gib<'a>(bytes: Option<u64>) -> Cell<'a> {
    Cell::Figure(bytes.map(|bytes| bytes as f64 / f64::from(1 << 30)))
}

/// When, in seconds.
fn time<'a>(at: Option<protocol::Timestamp>) -> Cell<'a> {
    Cell::Figure(at.map(|at| at.as_second() as f64))
}

impl Row for HiveRecord {
    const FIELDS: &'static [Field<Self>] = &[
        Field { name: "hive", letter: 'n', cell: |it| text(it.id.as_str()) },
        Field { name: "state", letter: 's', cell: |it| text(it.state.as_str()) },
        Field { name: "address", letter: 'a', cell: |it| text(&it.url) },
        Field {
            name: "reason",
            letter: 'r',
            cell: |it| text(it.reason.as_deref().unwrap_or_default()),
        },
        Field { name: "seen", letter: 'e', cell: |it| time(it.last_seen_at) },
    ];

    fn hive(&self) -> Option<&HiveId> {
        Some(&self.id)
    }
}

impl Row for WorkerRecord {
    const FIELDS: &'static [Field<Self>] = &[
        Field { name: "worker", letter: 'n', cell: |it| text(it.id.as_str()) },
        Field { name: "model", letter: 'm', cell: |it| text(it.model.as_str()) },
        Field { name: "hive", letter: 'v', cell: |it| text(it.hive_id.as_str()) },
        Field { name: "device", letter: 'd', cell: |it| text(it.device.as_str()) },
        Field { name: "state", letter: 's', cell: |it| text(it.state.as_str()) },
        Field { name: "slots", letter: 'b', cell: |it| figure(it.slots_busy) },
        Field { name: "tok/s", letter: 't', cell: |it| figure(it.tokens_per_second) },
        Field { name: "ttft", letter: 'f', cell: |it| figure(it.time_to_first_token_ms) },
        Field {
            name: "kv",
            letter: 'a',
            cell: |it| figure(it.kv_cache_share().map(|share| share * 100.0)),
        },
        Field { name: "memory", letter: 'e', cell: |it| gib(it.memory_bytes) },
        Field { name: "context", letter: 'c', cell: |it| figure(it.context_length) },
        Field { name: "started", letter: 'u', cell: |it| time(it.started_at) },
    ];

    fn hive(&self) -> Option<&HiveId> {
        Some(&self.hive_id)
    }
}

impl Row for DeviceRecord {
    const FIELDS: &'static [Field<Self>] = &[
        Field { name: "hive", letter: 'v', cell: |it| text(it.hive_id.as_str()) },
        Field { name: "device", letter: 'd', cell: |it| text(it.id.as_str()) },
        Field { name: "name", letter: 'n', cell: |it| text(&it.name) },
        Field { name: "util", letter: 'u', cell: |it| figure(it.utilisation_percent) },
        Field { name: "vram", letter: 'e', cell: |it| gib(it.memory_used_bytes) },
        Field { name: "total", letter: 't', cell: |it| gib(it.memory_total_bytes) },
        Field { name: "temp", letter: 'c', cell: |it| figure(it.temperature_celsius) },
        Field { name: "power", letter: 'p', cell: |it| figure(it.power_watts) },
    ];

    fn hive(&self) -> Option<&HiveId> {
        Some(&self.hive_id)
    }
}

impl Row for Listed {
    const FIELDS: &'static [Field<Self>] = &[
        Field { name: "model", letter: 'n', cell: |it| text(it.model.as_str()) },
        Field { name: "hive", letter: 'v', cell: |it| text(it.hive.as_str()) },
        Field { name: "state", letter: 's', cell: |it| text(it.state.as_str()) },
        Field { name: "size", letter: 'e', cell: |it| gib(it.bytes) },
        Field { name: "quant", letter: 'u', cell: |it| maybe(it.quantisation.as_deref()) },
        Field { name: "context", letter: 'c', cell: |it| figure(it.context_length) },
    ];

    fn hive(&self) -> Option<&HiveId> {
        Some(&self.hive)
    }
}

impl Row for JobRecord {
    const FIELDS: &'static [Field<Self>] = &[
        Field { name: "job", letter: 'n', cell: |it| text(it.id.as_str()) },
        Field { name: "state", letter: 's', cell: |it| text(it.state.as_str()) },
        Field { name: "operation", letter: 'p', cell: |it| text(&it.operation) },
        Field {
            name: "hive",
            letter: 'v',
            cell: |it| maybe(it.hive_id.as_ref().map(HiveId::as_str)),
        },
        Field {
            name: "worker",
            letter: 'w',
            cell: |it| maybe(it.worker_id.as_ref().map(WorkerId::as_str)),
        },
        Field {
            name: "model",
            letter: 'm',
            cell: |it| maybe(it.model.as_ref().map(ModelRef::as_str)),
        },
        Field {
            name: "says",
            letter: 'a',
            cell: |it| text(it.last_message.as_deref().unwrap_or_default()),
        },
        Field { name: "created", letter: 'c', cell: |it| time(Some(it.created_at)) },
        Field { name: "ended", letter: 'e', cell: |it| time(it.ended_at) },
    ];

    fn hive(&self) -> Option<&HiveId> {
        self.hive_id.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: Row>() {
        for (index, field) in R::FIELDS.iter().enumerate() {
            assert!(!"jkghlq".contains(field.letter), "{} moves the cursor", field.letter);
            assert!(
                R::FIELDS
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.letter != field.letter && other.name != field.name),
                "{} twice",
                field.name
            );
        }
    }

    #[test]
    fn every_column_has_a_letter_and_a_name_of_its_own() {
        check::<HiveRecord>();
        check::<WorkerRecord>();
        check::<DeviceRecord>();
        check::<JobRecord>();
        check::<Listed>();
    }
}
