//! The pieces of the training graph that are worth fusing.
//!
//! Written with plain tensor operations, a norm or a masked softmax is a dozen passes over memory,
//! each with its own allocation, and the backward pass doubles that. Here each is one loop forward
//! and one loop backward; only the matrix products are left to the tensor library. Everything
//! works on contiguous `f32` on the CPU and refuses anything else.

use std::sync::Arc;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, Layout, Result, Shape, Tensor,
};

/// A target that takes no part in the loss.
pub const IGNORE: u32 = u32::MAX;

/// The contiguous values behind one operand.
pub fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or_else(|| Error::msg("operand is not contiguous"))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// `e^x`, accurate to a few units in the last place. Written without a call so that the compiler
/// can turn the loops around it into vector code.
#[inline]
fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves that integer in the low mantissa bits.
    const MAGIC: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let whole = shifted - MAGIC;
    // ln 2 in two parts, so that the remainder stays exact.
    let r = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let poly = 1.0
        + r * (1.0
            + r * (0.5
                + r * (0.166_666_67
                    + r * (0.041_666_67 + r * (0.008_333_334 + r * 0.001_388_889)))));
    f32::from_bits(poly.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// Dot product over sixteen running sums: a single sum may not be reordered, and so not vectorised.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Replaces every value with its exponential relative to `max`; returns the sum.
fn exp_in_place(row: &mut [f32], scale: f32, max: f32) -> f32 {
    for value in row.iter_mut() {
        *value = exp((*value - max) * scale);
    }
    row.iter().sum()
}

fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let tail = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for lane in 0..16 {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().copied().fold(tail, f32::max)
}

/// Root-mean-square norm of each row, times a learned weight.
pub struct RmsNorm {
    /// Keeps the division finite for an all-zero row.
    pub eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let mut out = vec![0f32; x.len()];
        for (row, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
            let inverse = inverse_rms(row, self.eps);
            for ((out, x), w) in out.iter_mut().zip(row).zip(weight) {
                *out = x * inverse * w;
            }
        }
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = x.dim(0)?;
        let both =
            x.apply_op3_no_bwd(weight, &grad.contiguous()?, &RmsNormBackward { eps: self.eps })?;
        let weight_grad = both.narrow(0, rows, 1)?.reshape(weight.shape())?;
        Ok((Some(both.narrow(0, 0, rows)?), Some(weight_grad)))
    }
}

fn inverse_rms(row: &[f32], eps: f32) -> f32 {
    1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt()
}

/// An operation has one result, so the gradient of the weight travels as one row more.
struct RmsNormBackward {
    eps: f32,
}

impl CustomOp3 for RmsNormBackward {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (values(x, x_layout)?, values(weight, weight_layout)?);
        let grad = values(grad, grad_layout)?;
        let width = weight.len();
        let rows = x.len() / width;
        let mut out = vec![0f32; x.len() + width];
        let (x_grad, weight_grad) = out.split_at_mut(x.len());
        for ((row, grad), out) in
            x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(x_grad.chunks_exact_mut(width))
        {
            let inverse = inverse_rms(row, self.eps);
            for i in 0..width {
                out[i] = grad[i] * weight[i];
                weight_grad[i] += grad[i] * row[i] * inverse;
            }
            let pull = dot(out, row) * inverse * inverse / width as f32;
            for (out, x) in out.iter_mut().zip(row) {
                *out = (*out - x * pull) * inverse;
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((rows + 1, width))))
    }
}

/// Softmax over the keys a query may see: those of its own document, up to itself.
///
/// Several documents share a training window. Cutting attention at their borders shows the model
/// exactly what it will see later: one document, from its beginning.
#[derive(Clone)]
pub struct DocumentSoftmax {
    /// Window length; queries of all heads of one group lie one window after the other.
    pub window: usize,
    /// Rows of scores that belong to one window of the batch.
    pub rows_per_window: usize,
    /// For every token of the batch, the place in its window where its document begins.
    pub starts: Arc<[u32]>,
    /// What the scores are multiplied with before the softmax.
    pub scale: f32,
}

impl DocumentSoftmax {
    fn visible(&self, row: usize) -> std::ops::RangeInclusive<usize> {
        let position = row % self.window;
        let start = self.starts[row / self.rows_per_window * self.window + position] as usize;
        start..=position
    }
}

impl CustomOp1 for DocumentSoftmax {
    fn name(&self) -> &'static str {
        "document-softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = values(scores, layout)?;
        let mut out = vec![0f32; scores.len()];
        for (index, (row, out)) in
            scores.chunks_exact(self.window).zip(out.chunks_exact_mut(self.window)).enumerate()
        {
            let visible = self.visible(index);
            let out = &mut out[visible.clone()];
            out.copy_from_slice(&row[visible]);
            let max = maximum(out);
            let inverse = 1.0 / exp_in_place(out, self.scale, max);
            for value in out.iter_mut() {
                *value *= inverse;
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _scores: &Tensor, weights: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let backward = DocumentSoftmaxBackward(self.clone());
        Ok(Some(weights.apply_op2_no_bwd(&grad.contiguous()?, &backward)?))
    }
}

struct DocumentSoftmaxBackward(DocumentSoftmax);

impl CustomOp2 for DocumentSoftmaxBackward {
    fn name(&self) -> &'static str {
        "document-softmax-backward"
    }

    fn cpu_fwd(
        &self,
        weights: &CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weights, grad) = (values(weights, layout)?, values(grad, grad_layout)?);
        let window = self.0.window;
        let mut out = vec![0f32; weights.len()];
        for (index, ((weights, grad), out)) in weights
            .chunks_exact(window)
            .zip(grad.chunks_exact(window))
            .zip(out.chunks_exact_mut(window))
            .enumerate()
        {
            let visible = self.0.visible(index);
            let (weights, grad) = (&weights[visible.clone()], &grad[visible.clone()]);
            let mean = dot(weights, grad);
            for ((out, w), g) in out[visible].iter_mut().zip(weights).zip(grad) {
                *out = w * (g - mean) * self.0.scale;
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// `silu(gate) * up`, with both halves side by side in one row.
pub struct SwiGlu {
    /// Width of one half.
    pub width: usize,
}

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let mut out = vec![0f32; x.len() / 2];
        for (row, out) in x.chunks_exact(self.width * 2).zip(out.chunks_exact_mut(self.width)) {
            let (gate, up) = row.split_at(self.width);
            for ((out, g), u) in out.iter_mut().zip(gate).zip(up) {
                *out = g * u / (1.0 + exp(-g));
            }
        }
        let rows = out.len() / self.width;
        Ok((CpuStorage::F32(out), Shape::from((rows, self.width))))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let backward = SwiGluBackward { width: self.width };
        Ok(Some(x.apply_op2_no_bwd(&grad.contiguous()?, &backward)?))
    }
}

struct SwiGluBackward {
    width: usize,
}

impl CustomOp2 for SwiGluBackward {
    fn name(&self) -> &'static str {
        "swiglu-backward"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, grad) = (values(x, layout)?, values(grad, grad_layout)?);
        let width = self.width;
        let mut out = vec![0f32; x.len()];
        for ((row, grad), out) in x
            .chunks_exact(width * 2)
            .zip(grad.chunks_exact(width))
            .zip(out.chunks_exact_mut(width * 2))
        {
            let (gate, up) = row.split_at(width);
            let (gate_grad, up_grad) = out.split_at_mut(width);
            for i in 0..width {
                let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
                let silu = gate[i] * sigmoid;
                gate_grad[i] = grad[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
                up_grad[i] = grad[i] * silu;
            }
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Mean negative log-likelihood of the targets, over those that are not [`IGNORE`].
#[derive(Clone)]
pub struct CrossEntropy {
    /// One per row of logits.
    pub targets: Arc<[u32]>,
}

impl CrossEntropy {
    fn counted(&self) -> f32 {
        self.targets.iter().filter(|&&target| target != IGNORE).count().max(1) as f32
    }

    fn width(&self, logits: &[f32]) -> usize {
        logits.len() / self.targets.len()
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let logits = values(logits, layout)?;
        let width = self.width(logits);
        let mut scratch = vec![0f32; width];
        let mut total = 0f64;
        for (row, &target) in logits.chunks_exact(width).zip(self.targets.iter()) {
            if target == IGNORE {
                continue;
            }
            scratch.copy_from_slice(row);
            let max = maximum(row);
            let sum = exp_in_place(&mut scratch, 1.0, max);
            total += f64::from(sum.ln() + max - row[target as usize]);
        }
        let mean = total as f32 / self.counted();
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(logits.apply_op2_no_bwd(grad, &CrossEntropyBackward(self.clone()))?))
    }
}

struct CrossEntropyBackward(CrossEntropy);

impl CustomOp2 for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross-entropy-backward"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let logits = values(logits, layout)?;
        let upstream = values(grad, grad_layout)?.first().copied().unwrap_or(1.0);
        let width = self.0.width(logits);
        let weight = upstream / self.0.counted();
        let mut out = vec![0f32; logits.len()];
        for ((row, out), &target) in
            logits.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(self.0.targets.iter())
        {
            if target == IGNORE {
                continue;
            }
            out.copy_from_slice(row);
            let factor = weight / exp_in_place(out, 1.0, maximum(row));
            for value in out.iter_mut() {
                *value *= factor;
            }
            out[target as usize] -= weight;
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
