//! Amounts of memory and disk, and how a person says them.

pub(crate) const MIB: u64 = 1024 * 1024;
pub(crate) const GIB: u64 = 1024 * MIB;

/// Whole GiB, below that whole MiB.
pub(crate) fn size(bytes: u64) -> String {
    if bytes >= GIB { format!("{} GiB", bytes / GIB) } else { small(bytes) }
}

/// The same with a decimal, for where half a GiB decides.
pub(crate) fn exact_size(bytes: u64) -> String {
    if bytes >= GIB { format!("{:.1} GiB", bytes as f64 / GIB as f64) } else { small(bytes) }
}

fn small(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(MIB))
}

/// The nearest whole MiB: what moves below that is noise and no message.
pub(crate) fn to_mib(bytes: u64) -> u64 {
    (bytes + MIB / 2) / MIB * MIB
}
