//! Cross-validation: the folds of one training, the hyperparameters tried on them, and the rule that chooses.

pub(crate) mod folds;
pub(crate) mod l2_path;
pub(crate) mod model_choice;
pub(crate) mod temperature;
