//! AdamW in one pass over each weight, with the gradient clipped by its total norm.
//!
//! As tensor operations the same update allocates a dozen temporaries the size of the model at
//! every step; as one loop it costs next to nothing.

use anyhow::{Context, Result};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

const BETA_MEAN: f32 = 0.9;
const BETA_SQUARE: f32 = 0.95;
const EPSILON: f32 = 1e-8;
const DECAY: f32 = 0.05;
const NORM_LIMIT: f32 = 1.0;

struct Slot {
    variable: Var,
    mean: Vec<f32>,
    square: Vec<f32>,
    decay: f32,
}

/// The weights of a model and what is remembered about their gradients.
pub struct AdamW {
    slots: Vec<Slot>,
    steps: i32,
}

impl AdamW {
    /// Starts with no memory. Matrices decay, the weights of norms do not.
    pub fn new(variables: Vec<Var>) -> Self {
        let slots = variables
            .into_iter()
            .map(|variable| {
                let size = variable.elem_count();
                let decay = if variable.dims().len() > 1 { DECAY } else { 0.0 };
                Slot { variable, mean: vec![0.0; size], square: vec![0.0; size], decay }
            })
            .collect();
        Self { slots, steps: 0 }
    }

    /// One update with the mean of the gradients in `parts`.
    pub fn step(&mut self, parts: &[GradStore], rate: f32) -> Result<()> {
        let gradients = self
            .slots
            .iter()
            .map(|slot| mean_gradient(&slot.variable, parts))
            .collect::<Result<Vec<_>>>()?;
        let squares: f64 =
            gradients.iter().flatten().map(|value| f64::from(*value) * f64::from(*value)).sum();
        let clip = (NORM_LIMIT / squares.sqrt() as f32).min(1.0);

        self.steps += 1;
        let mean_bias = 1.0 - BETA_MEAN.powi(self.steps);
        let square_bias = 1.0 - BETA_SQUARE.powi(self.steps);
        for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
            let mut weights = slot.variable.flatten_all()?.to_vec1::<f32>()?;
            let keep = 1.0 - rate * slot.decay;
            for (((weight, mean), square), gradient) in
                weights.iter_mut().zip(&mut slot.mean).zip(&mut slot.square).zip(gradient)
            {
                let gradient = gradient * clip;
                *mean = BETA_MEAN * *mean + (1.0 - BETA_MEAN) * gradient;
                *square = BETA_SQUARE * *square + (1.0 - BETA_SQUARE) * gradient * gradient;
                let direction = *mean / mean_bias / ((*square / square_bias).sqrt() + EPSILON);
                *weight = *weight * keep - rate * direction;
            }
            slot.variable.set(&Tensor::from_vec(weights, slot.variable.dims(), &Device::Cpu)?)?;
        }
        Ok(())
    }
}

fn mean_gradient(variable: &Var, parts: &[GradStore]) -> Result<Vec<f32>> {
    let mut sum = vec![0f32; variable.elem_count()];
    let weight = 1.0 / parts.len() as f32;
    for part in parts {
        let gradient = part.get(variable).context("a weight takes no part in the loss")?;
        for (sum, value) in sum.iter_mut().zip(gradient.flatten_all()?.to_vec1::<f32>()?) {
            *sum += value * weight;
        }
    }
    Ok(sum)
}
