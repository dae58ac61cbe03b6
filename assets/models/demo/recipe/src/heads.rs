//! Between rows of features and separate attention heads, with the rotary position folded in.
//!
//! The rotation turns neighbouring pairs, `(0, 1)`, `(2, 3)` and so on. That is the order in which
//! GGUF files of the llama family store the query and key weights, so the trained weights go into
//! the file as they are. A rotation is undone by its negative angle, which makes the backward pass
//! of a split the same loop as a merge.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::ops::values;

/// Sines and cosines for every position and pair.
pub struct Rotary {
    /// `(cos, sin)`, position by position.
    table: Vec<(f32, f32)>,
    pairs: usize,
}

impl Rotary {
    /// A table for `positions` positions of heads that are `width` wide.
    pub fn new(positions: usize, width: usize, base: f32) -> Self {
        let pairs = width / 2;
        let table = (0..positions)
            .flat_map(|position| (0..pairs).map(move |pair| (position, pair)))
            .map(|(position, pair)| {
                let frequency = base.powf(-2.0 * pair as f32 / width as f32);
                let angle = position as f32 * frequency;
                (angle.cos(), angle.sin())
            })
            .collect();
        Self { table, pairs }
    }

    fn turn(&self, position: usize, from: &[f32], to: &mut [f32], direction: f32) {
        let angles = &self.table[position * self.pairs..][..self.pairs];
        for ((from, to), (cos, sin)) in from.chunks_exact(2).zip(to.chunks_exact_mut(2)).zip(angles)
        {
            let sin = sin * direction;
            to[0] = from[0] * cos - from[1] * sin;
            to[1] = from[0] * sin + from[1] * cos;
        }
    }
}

/// How a batch of rows divides into heads.
#[derive(Clone)]
pub struct Heads {
    /// Windows in the batch.
    pub batch: usize,
    /// Tokens in a window.
    pub window: usize,
    /// Heads in a row.
    pub count: usize,
    /// Values in a head.
    pub width: usize,
    /// Set for queries and keys, which carry their position; not for values.
    pub rotary: Option<Arc<Rotary>>,
}

impl Heads {
    /// Walks over every head of every token: `(place in rows, place in heads, position)`.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        (0..self.batch).flat_map(move |batch| {
            (0..self.count).flat_map(move |head| {
                (0..self.window).map(move |position| {
                    let in_rows =
                        ((batch * self.window + position) * self.count + head) * self.width;
                    let in_heads =
                        ((batch * self.count + head) * self.window + position) * self.width;
                    (in_rows, in_heads, position)
                })
            })
        })
    }

    fn move_head(&self, position: usize, from: &[f32], to: &mut [f32], direction: f32) {
        match &self.rotary {
            Some(rotary) => rotary.turn(position, from, to, direction),
            None => to.copy_from_slice(from),
        }
    }
}

/// `(batch * window, count * width)` to `(batch, count, window, width)`, rotated forwards.
pub struct Split(pub Heads);

/// The way back, rotated backwards.
pub struct Merge(pub Heads);

impl CustomOp1 for Split {
    fn name(&self) -> &'static str {
        "split-heads"
    }

    fn cpu_fwd(&self, rows: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Heads { batch, window, count, width, .. } = self.0;
        let rows = values(rows, layout)?;
        let mut out = vec![0f32; rows.len()];
        for (in_rows, in_heads, position) in self.0.places() {
            let to = &mut out[in_heads..][..width];
            self.0.move_head(position, &rows[in_rows..][..width], to, 1.0);
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, count, window, width))))
    }

    fn bwd(&self, _rows: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&Merge(self.0.clone()))?))
    }
}

impl CustomOp1 for Merge {
    fn name(&self) -> &'static str {
        "merge-heads"
    }

    fn cpu_fwd(&self, heads: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Heads { batch, window, count, width, .. } = self.0;
        let heads = values(heads, layout)?;
        let mut out = vec![0f32; heads.len()];
        for (in_rows, in_heads, position) in self.0.places() {
            let to = &mut out[in_rows..][..width];
            self.0.move_head(position, &heads[in_heads..][..width], to, -1.0);
        }
        Ok((CpuStorage::F32(out), Shape::from((batch * window, count * width))))
    }

    fn bwd(&self, _heads: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&Split(self.0.clone()))?))
    }
}
