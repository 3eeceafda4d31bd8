//! The samples of a training: what they are, which belong together, which are held out when, and which are left out.

pub(crate) mod dataset;
pub(crate) mod groups;
pub(crate) mod replay;
pub(crate) mod split;
pub(crate) mod subset;
