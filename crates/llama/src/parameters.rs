//! Every matrix of a Llama with its Hugging Face name. Weights, gradients and both Adam moments
//! are four of these. Knows shapes, not arithmetic.

use crate::config::LlamaConfig;
use crate::error::LlamaError;
use kollama_kernels::{DType, Device, Matrix};

/// All trained values, or something of the same shapes (gradients, moments).
pub struct Parameters {
    /// `[vocab_size, hidden_size]`
    pub embed_tokens: Matrix,
    /// One entry per layer, first layer first.
    pub layers: Vec<LayerParameters>,
    /// `[1, hidden_size]`, the norm before the output projection.
    pub norm: Matrix,
    /// `[vocab_size, hidden_size]`; `None` where the embedding serves as output projection too.
    pub lm_head: Option<Matrix>,
}

/// The matrices of one layer; projections are `[out, in]` as Hugging Face stores them.
pub struct LayerParameters {
    /// `[1, hidden_size]`
    pub input_layernorm: Matrix,
    /// `[num_attention_heads * head_dim, hidden_size]`
    pub q_proj: Matrix,
    /// `[num_key_value_heads * head_dim, hidden_size]`
    pub k_proj: Matrix,
    /// `[num_key_value_heads * head_dim, hidden_size]`
    pub v_proj: Matrix,
    /// `[hidden_size, num_attention_heads * head_dim]`
    pub o_proj: Matrix,
    /// `[1, hidden_size]`
    pub post_attention_layernorm: Matrix,
    /// `[intermediate_size, hidden_size]`
    pub gate_proj: Matrix,
    /// `[intermediate_size, hidden_size]`
    pub up_proj: Matrix,
    /// `[hidden_size, intermediate_size]`
    pub down_proj: Matrix,
}

/// Name and shape of one tensor of a model, before there is memory for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// The Hugging Face name.
    pub name: String,
    /// 1 for a norm.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// Name of the input embedding.
pub(crate) const EMBED_TOKENS: &str = "model.embed_tokens.weight";
/// Name of the output projection.
pub(crate) const LM_HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";

/// Names of a layer's tensors after `model.layers.N.`, in the order of [`LayerParameters`].
const LAYER_NAMES: [&str; 9] = [
    "input_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "post_attention_layernorm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
];

/// Whether a tensor of this name is the weight of a norm: one row, never decayed, always `f32`.
pub fn is_norm(name: &str) -> bool {
    name.ends_with("norm.weight")
}

/// How a tensor is held in a model whose weights are held as `weights`. Norms are `f32` whatever that
/// is. So is the table of a packed model bf16, row after row: a token reads one row of it, and what it
/// says goes through all layers. Where it is the output projection too, it is packed.
pub fn held_as(config: &LlamaConfig, name: &str, weights: DType) -> DType {
    match weights {
        _ if is_norm(name) => DType::F32,
        packed if packed.is_packed() && name == EMBED_TOKENS && !config.tie_word_embeddings => {
            DType::Bf16
        }
        weights => weights,
    }
}

/// Every tensor of a model of this shape, in the order of [`Parameters::named`].
pub fn tensor_shapes(config: &LlamaConfig) -> Vec<TensorShape> {
    let (vocab, hidden) = (config.vocab_size, config.hidden_size);
    let tensor = |name: String, (rows, columns)| TensorShape { name, rows, columns };
    let mut shapes = vec![tensor(EMBED_TOKENS.into(), (vocab, hidden))];
    for layer in 0..config.num_hidden_layers {
        let named = LAYER_NAMES.iter().zip(layer_shapes(config));
        shapes.extend(named.map(|(name, shape)| tensor(layer_name(layer, name), shape)));
    }
    shapes.push(tensor(NORM.into(), (1, hidden)));
    if !config.tie_word_embeddings {
        shapes.push(tensor(LM_HEAD.into(), (vocab, hidden)));
    }
    shapes
}

impl Parameters {
    /// Zeros of a model's shapes. Norms are `f32` whatever `dtype` says.
    ///
    /// # Errors
    /// If the device has not enough memory.
    pub fn zeros(
        config: &LlamaConfig,
        device: &Device,
        dtype: DType,
    ) -> Result<Parameters, LlamaError> {
        Parameters::made_by(config, |shape| {
            let dtype = if is_norm(&shape.name) { DType::F32 } else { dtype };
            Ok(Matrix::zeros(device, shape.rows, shape.columns, dtype)?)
        })
    }

    /// Asks for the matrices of a model one by one, in the order of [`tensor_shapes`].
    pub(crate) fn made_by(
        config: &LlamaConfig,
        make: impl FnMut(&TensorShape) -> Result<Matrix, LlamaError>,
    ) -> Result<Parameters, LlamaError> {
        let shapes = tensor_shapes(config);
        let mut made = shapes.iter().map(make);
        let mut next = || made.next().expect("there is a shape for each matrix of a model");
        Ok(Parameters {
            embed_tokens: next()?,
            layers: (0..config.num_hidden_layers)
                .map(|_| LayerParameters::made_by(&mut next))
                .collect::<Result<_, _>>()?,
            norm: next()?,
            lm_head: if config.tie_word_embeddings { None } else { Some(next()?) },
        })
    }

    /// Every matrix with its Hugging Face name, in a fixed order.
    pub fn named(&self) -> Vec<(String, &Matrix)> {
        let mut named = vec![(EMBED_TOKENS.to_owned(), &self.embed_tokens)];
        for (index, layer) in self.layers.iter().enumerate() {
            let names = LAYER_NAMES.iter().map(|name| layer_name(index, name));
            named.extend(names.zip(layer.matrices()));
        }
        named.push((NORM.to_owned(), &self.norm));
        named.extend(self.lm_head.as_ref().map(|head| (LM_HEAD.to_owned(), head)));
        named
    }

    /// As [`Parameters::named`], to be written to.
    pub fn named_mut(&mut self) -> Vec<(String, &mut Matrix)> {
        let mut named = vec![(EMBED_TOKENS.to_owned(), &mut self.embed_tokens)];
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let names = LAYER_NAMES.iter().map(|name| layer_name(index, name));
            named.extend(names.zip(layer.matrices_mut()));
        }
        named.push((NORM.to_owned(), &mut self.norm));
        named.extend(self.lm_head.as_mut().map(|head| (LM_HEAD.to_owned(), head)));
        named
    }

    /// The output projection: `lm_head`, or the embedding where both are one.
    pub fn head(&self) -> &Matrix {
        self.lm_head.as_ref().unwrap_or(&self.embed_tokens)
    }

    /// As [`Parameters::head`], to be written to.
    pub fn head_mut(&mut self) -> &mut Matrix {
        self.lm_head.as_mut().unwrap_or(&mut self.embed_tokens)
    }

    /// Sets to zero, as gradients, what every operation of a backward pass adds to: the norms, and the
    /// input embedding where it is a matrix of its own. The other matrices are overwritten.
    pub(crate) fn clear_what_is_added_to(&mut self) {
        let is_head = self.lm_head.is_none();
        for (name, matrix) in self.named_mut() {
            if is_norm(&name) || (name == EMBED_TOKENS && !is_head) {
                matrix.clear();
            }
        }
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.named().iter().map(|(_, matrix)| matrix.bytes()).sum()
    }
}

impl LayerParameters {
    fn made_by(
        next: &mut impl FnMut() -> Result<Matrix, LlamaError>,
    ) -> Result<LayerParameters, LlamaError> {
        Ok(LayerParameters {
            input_layernorm: next()?,
            q_proj: next()?,
            k_proj: next()?,
            v_proj: next()?,
            o_proj: next()?,
            post_attention_layernorm: next()?,
            gate_proj: next()?,
            up_proj: next()?,
            down_proj: next()?,
        })
    }

    fn matrices(&self) -> [&Matrix; 9] {
        [
            &self.input_layernorm,
            &self.q_proj,
            &self.k_proj,
            &self.v_proj,
            &self.o_proj,
            &self.post_attention_layernorm,
            &self.gate_proj,
            &self.up_proj,
            &self.down_proj,
        ]
    }

    fn matrices_mut(&mut self) -> [&mut Matrix; 9] {
        [
            &mut self.input_layernorm,
            &mut self.q_proj,
            &mut self.k_proj,
            &mut self.v_proj,
            &mut self.o_proj,
            &mut self.post_attention_layernorm,
            &mut self.gate_proj,
            &mut self.up_proj,
            &mut self.down_proj,
        ]
    }
}

/// Rows and columns in the order of [`LAYER_NAMES`].
fn layer_shapes(config: &LlamaConfig) -> [(usize, usize); 9] {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.heads().query_columns(), config.heads().key_columns());
    [
        (1, hidden),
        (queries, hidden),
        (keys, hidden),
        (keys, hidden),
        (hidden, queries),
        (1, hidden),
        (intermediate, hidden),
        (intermediate, hidden),
        (hidden, intermediate),
    ]
}

fn layer_name(layer: usize, name: &str) -> String {
    format!("model.layers.{layer}.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_plan_agree_on_names_shapes_and_count() {
        for tied in [false, true] {
            let mut config = LlamaConfig::preset("tiny").unwrap();
            config.tie_word_embeddings = tied;
            let parameters = Parameters::zeros(&config, &Device::reference(), DType::F32).unwrap();
            let named = parameters.named().into_iter().map(|(name, matrix)| TensorShape {
                name,
                rows: matrix.rows(),
                columns: matrix.columns(),
            });
            let planned = tensor_shapes(&config);
            assert_eq!(named.collect::<Vec<_>>(), planned);
            let count: usize = planned.iter().map(|shape| shape.rows * shape.columns).sum();
            assert_eq!(count as u64, config.parameter_count());
        }
    }

    #[test]
    fn norms_stay_f32_in_a_bf16_model() {
        let config = LlamaConfig::preset("tiny").unwrap();
        let parameters = Parameters::zeros(&config, &Device::reference(), DType::Bf16).unwrap();
        for (name, matrix) in parameters.named() {
            assert_eq!(matrix.dtype() == DType::F32, is_norm(&name), "{name}");
        }
    }
}
