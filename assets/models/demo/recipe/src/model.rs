//! The llama architecture as a training graph.
//!
//! Norms before attention and feed-forward, rotary positions, fewer key-value heads than query
//! heads, a gated feed-forward layer, and one matrix for both ends of the vocabulary. Weights are
//! kept as `(in, out)`, the order in which the products need them; the file wants `(out, in)`, and
//! [`Model::export`] is the only place that knows.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::heads::{Heads, Merge, Rotary, Split};
use crate::ops::{CrossEntropy, DocumentSoftmax, IGNORE, RmsNorm, SwiGlu};

/// Everything that decides the shape of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Longest text the model has seen in training.
    pub context: usize,
    /// Width of the stream between layers.
    pub hidden: usize,
    /// Attention and feed-forward layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width inside the feed-forward layer.
    pub feed_forward: usize,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// Epsilon of the norms.
    pub norm_eps: f32,
}

impl Shape {
    /// The shape of the model that ships.
    pub fn shipped(vocabulary: usize) -> Self {
        Self {
            vocabulary,
            context: 512,
            hidden: 256,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            feed_forward: 512,
            rope_base: 10_000.0,
            norm_eps: 1e-5,
        }
    }

    /// Values in one head.
    pub fn head_width(&self) -> usize {
        self.hidden / self.heads
    }
}

/// A batch of equally long windows, each filled with whole documents.
pub struct Batch {
    /// Windows in the batch.
    pub windows: usize,
    /// Token ids, window after window.
    pub tokens: Vec<u32>,
    /// The token that follows each, or [`IGNORE`].
    pub targets: Arc<[u32]>,
    /// Where in its window the document of each token begins.
    pub starts: Arc<[u32]>,
}

impl Batch {
    /// Tokens that are learned from, which leaves out the padding.
    pub fn learned(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORE).count()
    }
}

struct Block {
    attention_norm: Var,
    query: Var,
    key: Var,
    value: Var,
    output: Var,
    feed_forward_norm: Var,
    gate_up: Var,
    down: Var,
}

/// The weights, and the graph over them.
pub struct Model {
    shape: Shape,
    embedding: Var,
    blocks: Vec<Block>,
    norm: Var,
    rotary: Arc<Rotary>,
}

impl Model {
    /// Fresh weights from `rng`.
    pub fn new(shape: Shape, rng: &mut ChaCha8Rng) -> Result<Self> {
        let kv_width = shape.kv_heads * shape.head_width();
        let (hidden, inner) = (shape.hidden, shape.feed_forward);
        // What is added to the stream starts smaller the more layers add to it.
        let quiet = 1.0 / (2.0 * shape.layers as f32).sqrt();
        let mut blocks = Vec::with_capacity(shape.layers);
        let embedding = random((shape.vocabulary, hidden), 0.02, rng)?;
        for _ in 0..shape.layers {
            let deviation = 1.0 / (hidden as f32).sqrt();
            blocks.push(Block {
                attention_norm: ones(hidden)?,
                query: random((hidden, hidden), deviation, rng)?,
                key: random((hidden, kv_width), deviation, rng)?,
                value: random((hidden, kv_width), deviation, rng)?,
                output: random((hidden, hidden), deviation * quiet, rng)?,
                feed_forward_norm: ones(hidden)?,
                gate_up: random((hidden, inner * 2), deviation, rng)?,
                down: random((inner, hidden), quiet / (inner as f32).sqrt(), rng)?,
            });
        }
        let rotary = Arc::new(Rotary::new(shape.context, shape.head_width(), shape.rope_base));
        Ok(Self { embedding, blocks, norm: ones(hidden)?, rotary, shape })
    }

    /// The shape it was made with.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Every weight, for the optimiser.
    pub fn variables(&self) -> Vec<Var> {
        let mut all = vec![self.embedding.clone(), self.norm.clone()];
        for block in &self.blocks {
            all.extend(
                [
                    &block.attention_norm,
                    &block.query,
                    &block.key,
                    &block.value,
                    &block.output,
                    &block.feed_forward_norm,
                    &block.gate_up,
                    &block.down,
                ]
                .map(Var::clone),
            );
        }
        all
    }

    /// How many numbers were learned.
    pub fn parameters(&self) -> usize {
        self.variables().iter().map(|variable| variable.elem_count()).sum()
    }

    /// One row of logits for every token of the batch.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor> {
        let window = batch.tokens.len() / batch.windows;
        let tokens = Tensor::new(batch.tokens.as_slice(), &Device::Cpu)?;
        let mut stream = self.embedding.embedding(&tokens)?;
        for block in &self.blocks {
            stream = (&stream + self.attention(block, &stream, batch, window)?)?;
            let normed = self.normed(&stream, &block.feed_forward_norm)?;
            let gated = normed
                .matmul(&block.gate_up)?
                .apply_op1(SwiGlu { width: self.shape.feed_forward })?;
            stream = (stream + gated.matmul(&block.down)?)?;
        }
        self.normed(&stream, &self.norm)?.matmul(&self.embedding.t()?)
    }

    /// Mean loss over the targets of the batch.
    pub fn loss(&self, batch: &Batch) -> Result<Tensor> {
        self.logits(batch)?.apply_op1(CrossEntropy { targets: batch.targets.clone() })
    }

    fn normed(&self, stream: &Tensor, weight: &Var) -> Result<Tensor> {
        stream.apply_op2(weight, RmsNorm { eps: self.shape.norm_eps })
    }

    fn attention(
        &self,
        block: &Block,
        stream: &Tensor,
        batch: &Batch,
        window: usize,
    ) -> Result<Tensor> {
        let shape = &self.shape;
        let width = shape.head_width();
        let heads = |count, rotary| Heads { batch: batch.windows, window, count, width, rotary };
        let rotary = Some(self.rotary.clone());
        let normed = self.normed(stream, &block.attention_norm)?;
        let query =
            normed.matmul(&block.query)?.apply_op1(Split(heads(shape.heads, rotary.clone())))?;
        let key = normed.matmul(&block.key)?.apply_op1(Split(heads(shape.kv_heads, rotary)))?;
        let value = normed.matmul(&block.value)?.apply_op1(Split(heads(shape.kv_heads, None)))?;
        // The query heads of one group line up below each other, so that they share their keys
        // and values without a copy.
        let group_rows = shape.heads / shape.kv_heads * window;
        let query = query.reshape((batch.windows, shape.kv_heads, group_rows, width))?;
        let weights = query.matmul(&key.t()?)?.apply_op1(DocumentSoftmax {
            window,
            rows_per_window: shape.heads * window,
            starts: batch.starts.clone(),
            scale: 1.0 / (width as f32).sqrt(),
        })?;
        let mixed = weights.matmul(&value)?.reshape((batch.windows, shape.heads, window, width))?;
        mixed.apply_op1(Merge(heads(shape.heads, None)))?.matmul(&block.output)
    }

    /// The weights under the names and in the order that GGUF readers expect.
    pub fn export(&self) -> Result<Vec<(String, Tensor)>> {
        let inner = self.shape.feed_forward;
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), self.embedding.as_tensor().clone()),
            ("output_norm.weight".to_owned(), self.norm.as_tensor().clone()),
        ];
        for (index, block) in self.blocks.iter().enumerate() {
            let (gate, up) =
                (block.gate_up.narrow(1, 0, inner)?, block.gate_up.narrow(1, inner, inner)?);
            let matrices = [
                ("attn_q", block.query.as_tensor()),
                ("attn_k", block.key.as_tensor()),
                ("attn_v", block.value.as_tensor()),
                ("attn_output", block.output.as_tensor()),
                ("ffn_gate", &gate),
                ("ffn_up", &up),
                ("ffn_down", block.down.as_tensor()),
            ];
            for (name, matrix) in matrices {
                tensors.push((format!("blk.{index}.{name}.weight"), matrix.t()?.contiguous()?));
            }
            for (name, norm) in
                [("attn_norm", &block.attention_norm), ("ffn_norm", &block.feed_forward_norm)]
            {
                tensors.push((format!("blk.{index}.{name}.weight"), norm.as_tensor().clone()));
            }
        }
        Ok(tensors)
    }
}

fn ones(width: usize) -> Result<Var> {
    Var::ones(width, candle_core::DType::F32, &Device::Cpu)
}

/// Normally distributed weights. Drawn here and not by the tensor library, whose generator for
/// the CPU cannot be seeded.
fn random(shape: (usize, usize), deviation: f32, rng: &mut ChaCha8Rng) -> Result<Var> {
    let values: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| {
            let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
            radius * (std::f32::consts::TAU * rng.random::<f32>()).cos() * deviation
        })
        .collect();
    Var::from_vec(values, shape, &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Nudges one weight matrix at a time along its gradient and against it: the loss must change
    /// as the gradient says. A wrong sign or a lost term in any backward pass shows here.
    #[test]
    fn gradients_say_how_the_loss_changes() {
        let shape = Shape {
            vocabulary: 24,
            context: 16,
            hidden: 32,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            feed_forward: 48,
            rope_base: 100.0,
            norm_eps: 1e-5,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let model = Model::new(shape, &mut rng).unwrap();
        let tokens: Vec<u32> = (0..32).map(|_| rng.random_range(0..24)).collect();
        let mut targets: Vec<u32> = (0..32).map(|_| rng.random_range(0..24)).collect();
        targets[9] = IGNORE;
        let starts: Vec<u32> = (0..32).map(|index| if index % 16 < 6 { 0 } else { 6 }).collect();
        let batch = Batch { windows: 2, tokens, targets: targets.into(), starts: starts.into() };
        let gradients = model.loss(&batch).unwrap().backward().unwrap();
        for (index, variable) in model.variables().iter().enumerate() {
            let gradient = gradients.get(variable).unwrap();
            let slope =
                gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            assert!(slope > 1e-6, "weight {index} has no gradient");
            let before = variable.as_tensor().copy().unwrap();
            let loss_at = |distance: f32| {
                let nudge = (gradient * f64::from(distance / slope)).unwrap();
                variable.set(&(&before + nudge).unwrap()).unwrap();
                model.loss(&batch).unwrap().to_scalar::<f32>().unwrap()
            };
            let measured = (loss_at(0.005) - loss_at(-0.005)) / 0.01;
            variable.set(&before).unwrap();
            assert!(
                (measured - slope).abs() < 0.03 * slope + 1e-3,
                "weight {index}: measured {measured}, computed {slope}"
            );
        }
    }
}
