//! libjpeg-turbo's decoder, in the shape of mozjpeg's copy of it, called so that nothing it doubts is taken.
//!
//! libjpeg reports an error by a call that must not return, and a warning by one that may. Both end the decoding here by
//! unwinding through its frames, which are compiled for that (`-fexceptions`) and own nothing: all their memory belongs
//! to the decompressor, which [`Decompressor`] destroys.
#![allow(unsafe_code, reason = "libjpeg is written in C")]

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use image::RgbImage;
use mozjpeg_sys as ffi;

use super::Damage;

/// Rows that are decoded with one call; libjpeg gives at most so many at a time as it has ready.
const ROWS: usize = 16;

/// What becomes of a picture whose blocks are all there before its data end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// It is decoded, like everywhere: some webcams and scanners write a few bytes more all the time.
    Taken,
    /// It is damaged.
    Refused,
}

/// Decodes `bytes`, which have an end marker, and a frame header of this `size`, into RGB pixels: columns and rows over `shrink`,
/// rounded up, from as many coefficients of each block as that takes.
pub(super) fn decode(
    bytes: &[u8],
    size: Option<(u32, u32)>,
    shrink: u32,
    leftovers: Leftovers,
) -> Result<RgbImage, Damage> {
    catch_unwind(AssertUnwindSafe(|| Decompressor::new(bytes, leftovers).decode(size, shrink))).unwrap_or_else(
        |thrown| match thrown.downcast::<Damage>() {
            Ok(damage) => Err(*damage),
            Err(panic) => resume_unwind(panic),
        },
    )
}

/// A decompressor and its error handler, which point at each other and so stay where they are.
struct Decompressor<'a> {
    state: Box<State>,
    bytes: &'a [u8],
}

struct State {
    info: ffi::jpeg_decompress_struct,
    errors: ffi::jpeg_error_mgr,
}

impl<'a> Decompressor<'a> {
    fn new(bytes: &'a [u8], leftovers: Leftovers) -> Self {
        // SAFETY: both are plain data of C, whose every field may be zero; libjpeg fills them.
        let state = unsafe { Box::new(mem::zeroed::<State>()) };
        let mut decompressor = Self { state, bytes };
        let State { info, errors } = &mut *decompressor.state;
        // SAFETY: `errors` lives in the box as long as `info` does. Creating fails without memory only, and unwinds then.
        unsafe {
            info.common.err = ffi::jpeg_std_error(errors);
            errors.error_exit = Some(on_error);
            errors.emit_message = match leftovers {
                Leftovers::Taken => Some(on_message),
                Leftovers::Refused => Some(on_message_strictly),
            };
            ffi::jpeg_create_decompress(info);
        }
        decompressor
    }

    fn decode(mut self, size: Option<(u32, u32)>, shrink: u32) -> Result<RgbImage, Damage> {
        let info = &mut self.state.info;
        // SAFETY: the bytes outlive `self`, and are only read.
        unsafe {
            ffi::jpeg_mem_src(info, self.bytes.as_ptr(), self.bytes.len() as ffi::c_ulong);
            ffi::jpeg_read_header(info, 1);
        }
        if size != Some((info.image_width, info.image_height)) {
            return Err(Damage::Decoder("it has two sizes".into()));
        }
        let is_cmyk = matches!(info.jpeg_color_space, ffi::JCS_CMYK | ffi::JCS_YCCK);
        info.out_color_space = if is_cmyk { ffi::JCS_CMYK } else { ffi::JCS_RGB };
        info.dct_method = ffi::JDCT_DEFAULT;
        // It guesses at coefficients that did not come; pictures without them are refused.
        info.do_block_smoothing = 0;
        (info.scale_num, info.scale_denom) = (1, shrink);
        // SAFETY: the header was read.
        unsafe { ffi::jpeg_start_decompress(info) };
        let (width, height) = (info.output_width, info.output_height);
        let row_bytes = width as usize * if is_cmyk { 4 } else { 3 };
        assert_eq!(info.output_components as usize * width as usize, row_bytes, "libjpeg's rows");
        let mut pixels = vec![0; row_bytes * height as usize];
        for rows in pixels.chunks_mut(row_bytes * ROWS) {
            read_rows(info, rows, row_bytes);
        }
        // SAFETY: every row was read.
        unsafe { ffi::jpeg_finish_decompress(info) };
        let pixels = if is_cmyk { rgb_of_inverted_cmyk(&pixels) } else { pixels };
        RgbImage::from_raw(width, height, pixels).ok_or_else(|| Damage::Decoder("it has no pixels".into()))
    }
}

/// Fills `rows`, which are at most [`ROWS`], from top to bottom.
fn read_rows(info: &mut ffi::jpeg_decompress_struct, rows: &mut [u8], row_bytes: usize) {
    let mut starts = [ptr::null_mut(); ROWS];
    let mut count = 0;
    for (start, row) in starts.iter_mut().zip(rows.chunks_exact_mut(row_bytes)) {
        *start = row.as_mut_ptr();
        count += 1;
    }
    let mut done = 0;
    while done < count {
        // SAFETY: each of the pointers is the start of `row_bytes` writable bytes, which is the width of libjpeg's rows.
        let read = unsafe { ffi::jpeg_read_scanlines(info, starts[done..count].as_mut_ptr(), (count - done) as u32) };
        assert!(read > 0, "libjpeg waits for nothing when all bytes are in memory");
        done += read as usize;
    }
}

impl Drop for Decompressor<'_> {
    fn drop(&mut self) {
        // SAFETY: it was created, or is all zeros, which this call takes, too.
        unsafe { ffi::jpeg_destroy_decompress(&mut self.state.info) };
    }
}

/// RGB of CMYK whose values are stored inverted, as all programs write them since Photoshop: 255 is no ink.
fn rgb_of_inverted_cmyk(cmyk: &[u8]) -> Vec<u8> {
    let times = |a: u8, b: u8| {
        let product = u32::from(a) * u32::from(b) + 128;
        ((product + (product >> 8)) >> 8) as u8
    };
    let rgb = |ink: &[u8; 4]| [0, 1, 2].map(|channel| ink[3] - times(255 - ink[channel], ink[3]));
    cmyk.as_chunks::<4>().0.iter().flat_map(rgb).collect()
}

unsafe extern "C-unwind" fn on_error(info: &mut ffi::jpeg_common_struct) {
    resume_unwind(Box::new(Damage::Decoder(message(info).words())));
}

/// Warnings have a negative level.
unsafe extern "C-unwind" fn on_message(info: &mut ffi::jpeg_common_struct, level: ffi::c_int) {
    let message = message(info);
    if level < 0 && !message.is_harmless() && message.code != ffi::JWRN_EXTRANEOUS_DATA {
        resume_unwind(Box::new(Damage::Decoder(message.words())));
    }
}

/// The same where leftovers are refused.
unsafe extern "C-unwind" fn on_message_strictly(info: &mut ffi::jpeg_common_struct, level: ffi::c_int) {
    let message = message(info);
    if level < 0 && !message.is_harmless() {
        resume_unwind(Box::new(Damage::Decoder(message.words())));
    }
}

/// What libjpeg reports: a number of `jerror.h`, and two of the numbers that go with it.
struct Message {
    code: ffi::c_int,
    parameters: [u32; 2],
}

fn message(info: &ffi::jpeg_common_struct) -> Message {
    // SAFETY: libjpeg calls its handlers with the decompressor that they were set for, whose `err` is set.
    let errors = unsafe { &*info.err };
    let [first, second, ..] = errors.msg_parm._bindgen_data_;
    Message { code: errors.msg_code, parameters: [first, second] }
}

impl Message {
    /// Whether a warning is about a number that no program looks at.
    fn is_harmless(&self) -> bool {
        matches!(self.code, ffi::JWRN_JFIF_MAJOR | ffi::JWRN_ADOBE_XFORM | ffi::JWRN_NOT_SEQUENTIAL)
    }

    /// For people.
    fn words(&self) -> String {
        let [first, second] = self.parameters;
        match self.code {
            ffi::JWRN_HIT_MARKER | ffi::JWRN_JPEG_EOF => "a part of its data is missing".into(),
            ffi::JWRN_EXTRANEOUS_DATA => Damage::Hole.to_string(),
            ffi::JWRN_HUFF_BAD_CODE => "its data contain a code that is none".into(),
            ffi::JWRN_MUST_RESYNC => format!("its data have the marker {first:#04x} in place of restart {second}"),
            ffi::JWRN_BOGUS_PROGRESSION => "its scans contradict each other".into(),
            ffi::JERR_ARITH_NOTIMPL => "arithmetic coding".into(),
            ffi::JERR_BAD_PRECISION => format!("{first} bits a sample; 8 are read"),
            ffi::JERR_SOF_UNSUPPORTED => format!("lossless or hierarchical coding, frame {first:#04x}"),
            ffi::JERR_CONVERSION_NOTIMPL | ffi::JERR_BAD_J_COLORSPACE => "unknown colours".into(),
            ffi::JERR_COMPONENT_COUNT => format!("{first} components; at most {second} are read"),
            ffi::JERR_BAD_SAMPLING | ffi::JERR_FRACT_SAMPLE_NOTIMPL => "unusual sampling factors".into(),
            ffi::JERR_BAD_MCU_SIZE => "too many blocks a unit".into(),
            ffi::JERR_NO_HUFF_TABLE | ffi::JERR_NO_QUANT_TABLE => "a table that it uses is missing".into(),
            ffi::JERR_BAD_HUFF_TABLE => "a Huffman table that is none".into(),
            ffi::JERR_DHT_INDEX | ffi::JERR_DQT_INDEX => "a table in a place that is none".into(),
            ffi::JERR_UNKNOWN_MARKER => format!("an unknown marker, {first:#04x}"),
            ffi::JERR_IMAGE_TOO_BIG => format!("more than {first} columns or rows"),
            ffi::JERR_EMPTY_IMAGE => "its header has no columns, rows or components".into(),
            ffi::JERR_NO_IMAGE | ffi::JERR_SOS_NO_SOF | ffi::JERR_SOF_NO_SOS => "it contains no picture".into(),
            ffi::JERR_SOF_DUPLICATE | ffi::JERR_SOI_DUPLICATE => "it begins twice".into(),
            ffi::JERR_BAD_LENGTH | ffi::JERR_BAD_COMPONENT_ID | ffi::JERR_BAD_PROGRESSION => {
                "its headers contradict themselves".into()
            }
            ffi::JERR_OUT_OF_MEMORY => "there is not enough memory for it".into(),
            other => format!("libjpeg's message {other}"),
        }
    }
}
