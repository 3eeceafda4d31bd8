//! Ways of normalising pixels that are known under a name.

use crate::image::Channels;

/// A known way of normalising: `(pixel - mean) / std` on 0..255 values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// What it is called.
    pub name: &'static str,
    /// In the order of `channels`.
    pub mean: [f32; 3],
    /// In the order of `channels`.
    pub std: [f32; 3],
    /// The order of channels that goes with it.
    pub channels: Channels,
    /// The models that use it.
    pub about: &'static str,
}

/// All of them, the commonest first.
pub const NORMALIZATIONS: [Normalization; 6] = [
    Normalization {
        name: "imagenet",
        mean: [123.675, 116.28, 103.53],
        std: [58.395, 57.12, 57.375],
        channels: Channels::Rgb,
        about: "torchvision, most of timm, DINOv2",
    },
    Normalization {
        name: "inception",
        mean: [127.5; 3],
        std: [127.5; 3],
        channels: Channels::Rgb,
        about: "-1 to 1: TensorFlow's and Keras's MobileNets, timm's EfficientNet-Lite",
    },
    Normalization { name: "unit", mean: [0.0; 3], std: [255.0; 3], channels: Channels::Rgb, about: "0 to 1" },
    Normalization {
        name: "none",
        mean: [0.0; 3],
        std: [1.0; 3],
        channels: Channels::Rgb,
        about: "0 to 255: the model normalises by itself",
    },
    Normalization {
        name: "caffe",
        mean: [103.939, 116.779, 123.68],
        std: [1.0; 3],
        channels: Channels::Bgr,
        about: "blue first, mean taken off: Caffe's models, Keras's ResNet50",
    },
    Normalization {
        name: "clip",
        mean: [122.770_94, 116.746_01, 104.093_736],
        std: [68.500_53, 66.632_16, 70.323_16],
        channels: Channels::Rgb,
        about: "OpenAI's CLIP and OpenCLIP",
    },
];

impl Normalization {
    /// The normalization called `name`; `tf` is another name of `inception`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "tf" { "inception" } else { name };
        NORMALIZATIONS.into_iter().find(|known| known.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_published_ones_times_255() {
        // torchvision's Normalize, and the preprocessing of openai/CLIP, on values of 0 to 1.
        let published = [
            ("imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ("inception", [0.5; 3], [0.5; 3]),
            ("clip", [0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_58, 0.275_777_11]),
        ];
        for (name, mean, std) in published {
            let known = Normalization::named(name).unwrap();
            for (ours, published) in known.mean.iter().chain(&known.std).zip(mean.iter().chain(&std)) {
                assert!((f64::from(*ours) - 255.0 * published).abs() < 1e-5, "{name}: {ours} for {published}");
            }
        }
        assert_eq!(Normalization::named("tf"), Normalization::named("inception"));
        assert_eq!(Normalization::named("imagnet"), None);
    }
}
