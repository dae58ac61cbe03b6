//! The ways of storing weights that the engine computes with.

/// A way of storing weights: blocks of `block` elements in `bytes` bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct TensorType {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) block: u64,
    pub(super) bytes: u64,
}

const fn tensor_type(id: u32, name: &'static str, block: u64, bytes: u64) -> TensorType {
    TensorType { id, name, block, bytes }
}

pub(super) const TENSOR_TYPES: [TensorType; 13] = [
    tensor_type(0, "F32", 1, 4),
    tensor_type(1, "F16", 1, 2),
    tensor_type(2, "Q4_0", 32, 18),
    tensor_type(3, "Q4_1", 32, 20),
    tensor_type(6, "Q5_0", 32, 22),
    tensor_type(7, "Q5_1", 32, 24),
    tensor_type(8, "Q8_0", 32, 34),
    tensor_type(10, "Q2_K", 256, 84),
    tensor_type(11, "Q3_K", 256, 110),
    tensor_type(12, "Q4_K", 256, 144),
    tensor_type(13, "Q5_K", 256, 176),
    tensor_type(14, "Q6_K", 256, 210),
    tensor_type(30, "BF16", 1, 2),
];

pub(super) fn supported_types() -> String {
    TENSOR_TYPES.map(|kind| kind.name).join(", ")
}
