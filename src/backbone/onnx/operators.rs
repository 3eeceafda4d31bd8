//! What the operators of ONNX and ONNX Runtime do to the values that pass them, as far as a walk needs to know it.
//!
//! An operator that stands in none of these lists is not known: what it makes is then never taken for an embedding
//! without a word.

/// Keep the values and change at most their axes or their type.
pub const KEEPING: [&str; 12] = [
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Dropout",
    "Identity",
    "Cast",
    "CastLike",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
];

/// Change each value by itself.
pub const CHANGING: [&str; 42] = [
    "Relu",
    "LeakyRelu",
    "QLinearLeakyRelu",
    "PRelu",
    "Elu",
    "Celu",
    "Selu",
    "ThresholdedRelu",
    "Sigmoid",
    "QLinearSigmoid",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Mish",
    "Gelu",
    "FastGelu",
    "QuickGelu",
    "BiasGelu",
    "Tanh",
    "Softplus",
    "Softsign",
    "Clip",
    "Erf",
    "Exp",
    "Log",
    "Sqrt",
    "Pow",
    "Abs",
    "Neg",
    "Sign",
    "Reciprocal",
    "Round",
    "Floor",
    "Ceil",
    "BatchNormalization",
    "LpNormalization",
    "Softmax",
    "QLinearSoftmax",
    "LogSoftmax",
    "Hardmax",
    "Not",
    "IsNaN",
];

/// Combine two tensors value by value.
pub const COMBINING: [&str; 8] = ["Add", "Sub", "Mul", "Div", "Max", "Min", "QLinearAdd", "QLinearMul"];

/// Make probabilities, or their logarithms, of scores; an output that ends so is one of classes.
pub const NORMALISING: [&str; 9] = [
    "Softmax",
    "QLinearSoftmax",
    "LogSoftmax",
    "Hardmax",
    "Sigmoid",
    "QLinearSigmoid",
    "HardSigmoid",
    // Written out: exp(x) / sum(exp(x)), 1 / (1 + exp(-x)), x - log(sum(exp(x))).
    "Exp",
    "ReduceLogSumExp",
];

/// Choose among classes.
pub const CHOOSING: [&str; 11] = [
    "ArgMax",
    "ArgMin",
    "TopK",
    "OneHot",
    "NonMaxSuppression",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Equal",
    "NonZero",
];

/// Classifiers as a step of their own.
pub const CLASSIFIERS: [&str; 6] =
    ["LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "TreeEnsembleClassifier", "TreeEnsemble"];

/// Make one value of many.
pub const REDUCING: [&str; 10] = [
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceSum",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceProd",
    "ReduceLogSum",
    "ReduceLogSumExp",
];

/// Normalise by statistics of the picture's own values.
pub const STANDARDISING: [&str; 9] = [
    "LayerNormalization",
    "SkipLayerNormalization",
    "SimplifiedLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "RMSNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "GroupNorm",
    "LRN",
];

/// Steps of a network's body, and those that join, pick or move values.
pub const BODY: [&str; 39] = [
    "Conv",
    "FusedConv",
    "NhwcFusedConv",
    "QLinearConv",
    "ConvInteger",
    "ConvTranspose",
    "MatMul",
    "FusedMatMul",
    "MatMulInteger",
    "QLinearMatMul",
    "Gemm",
    "FusedGemm",
    "QGemm",
    "Attention",
    "QAttention",
    "MultiHeadAttention",
    "PackedAttention",
    "EmbedLayerNormalization",
    "MaxPool",
    "AveragePool",
    "QLinearAveragePool",
    "LpPool",
    "Concat",
    "QLinearConcat",
    "Sum",
    "Mean",
    "Gather",
    "GatherElements",
    "GatherND",
    "Slice",
    "Split",
    "Expand",
    "Tile",
    "Pad",
    "Resize",
    "Upsample",
    "SpaceToDepth",
    "DepthToSpace",
    "Where",
];

/// Say of a tensor what no picture changes.
pub const SHAPES: [&str; 3] = ["Shape", "Size", "ConstantOfShape"];

/// Whether `op` is in one of the lists, or pools over the picture.
pub fn known(op: &str) -> bool {
    let lists: [&[&str]; 9] =
        [&KEEPING, &CHANGING, &COMBINING, &NORMALISING, &CHOOSING, &REDUCING, &STANDARDISING, &BODY, &SHAPES];
    op.contains("Global") || lists.iter().any(|list| list.contains(&op))
}
