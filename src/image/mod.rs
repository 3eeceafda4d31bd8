//! From a file's bytes to the tensor that a backbone reads.
//!
//! [`decode()`] refuses what is unfinished, hostile or no image, before memory is spent on it; [`Preprocess`] turns
//! pixels, or regions of them, into numbers, and may have large JPEGs decoded at a fraction of their size ([`Decode`]). The same bytes give the same tensor on every run. Nothing here opens files.

mod augment;
mod decode;
mod jpeg;
mod outline;
mod preprocess;
mod region;
mod scaled;
mod thumbnail;
mod whole;

pub use augment::View;
pub use decode::{BadImage, Limits, Rgb, decode, ending_of};
pub use outline::{Outline, outlined};
pub use preprocess::{Channels, Layout, Preprocess, Resize};
pub use scaled::{Decode, Looked};
pub use thumbnail::{BYTES_MAX as THUMBNAIL_BYTES_MAX, thumbnail, view};
