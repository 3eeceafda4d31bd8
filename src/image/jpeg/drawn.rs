//! A JPEG file of one colour, written here: its components in any order of scans, with any sampling factors.
//!
//! With the standard's Huffman tables, which are left out of the file. Source: ITU-T T.81, annexes B, F, G and K.

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    /// Columns and rows.
    pub(super) size: (u32, u32),
    /// Of each component, across and down.
    pub(super) factors: [(u8, u8); 3],
    /// Components of each scan.
    pub(super) scans: &'static [&'static [usize]],
    /// Units between two restart markers; 0 for none.
    pub(super) restart_interval: u16,
    /// Means of blocks in the scans, the rest in scans of its own behind them.
    pub(super) is_progressive: bool,
    /// Whether a progressive picture has that rest.
    pub(super) has_details: bool,
    /// Whether there are Huffman tables whose shortest codes are those of an unchanged block.
    pub(super) has_flat_codes: bool,
}

impl Default for Drawn {
    fn default() -> Self {
        Self {
            size: (40, 23),
            factors: [(2, 2), (1, 1), (1, 1)],
            scans: &[&[0, 1, 2]],
            restart_interval: 0,
            is_progressive: false,
            has_details: true,
            has_flat_codes: false,
        }
    }
}

/// Above 128, of luma and the two colour differences.
const LEVELS: [i32; 3] = [-28, -40, 72];

impl Drawn {
    /// Of [`LEVELS`], by the formulas of JFIF: luma 100, blue difference -40, red difference 72.
    pub(super) const COLOUR: [u8; 3] = [201, 62, 29];

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        // Quantisers of 8: the mean of a block is its first coefficient.
        segment(&mut file, 0xdb, &[&[0][..], &[8; 64]].concat());
        if self.has_own_codes() {
            for class in [0x00, 0x01, 0x10, 0x11] {
                let symbols: &[u8] = if class < 0x10 { &[0, 5, 6, 7] } else { &[0, 1] };
                let mut lengths = [0; 16];
                lengths[..4].copy_from_slice(if class < 0x10 { &[1, 1, 1, 1] } else { &[1, 1, 0, 0] });
                segment(&mut file, 0xc4, &[&[class][..], &lengths, symbols].concat());
            }
        }
        let (width, height) = self.size;
        let mut frame = vec![8, (height >> 8) as u8, height as u8, (width >> 8) as u8, width as u8, 3];
        for (id, (across, down)) in self.factors.into_iter().enumerate() {
            frame.extend([id as u8 + 1, across << 4 | down, 0]);
        }
        segment(&mut file, if self.is_progressive { 0xc2 } else { 0xc0 }, &frame);
        if self.restart_interval > 0 {
            segment(&mut file, 0xdd, &self.restart_interval.to_be_bytes());
        }
        for components in self.scans {
            self.scan(&mut file, components, if self.is_progressive { (0, 0) } else { (0, 63) });
        }
        if self.is_progressive && self.has_details {
            (0..3).for_each(|component| self.scan(&mut file, &[component], (1, 63)));
        }
        file.extend([0xff, 0xd9]);
        file
    }

    /// A progressive picture has no tables of the standard.
    fn has_own_codes(&self) -> bool {
        self.has_flat_codes || self.is_progressive
    }

    fn scan(&self, file: &mut Vec<u8>, components: &[usize], (first, last): (u8, u8)) {
        let mut header = vec![components.len() as u8];
        for component in components {
            header.extend([*component as u8 + 1, if *component == 0 { 0 } else { 0x11 }]);
        }
        header.extend([first, last, 0]);
        segment(file, 0xda, &header);
        let most = |of: fn((u8, u8)) -> u8| self.factors.into_iter().map(of).max().unwrap();
        let (most_across, most_down) = (u32::from(most(|(across, _)| across)), u32::from(most(|(_, down)| down)));
        let blocks = |size: u32, factor: u32, most: u32| (size * factor).div_ceil(most).div_ceil(8);
        let units = if let [component] = components {
            let (across, down) = self.factors[*component];
            blocks(self.size.0, across.into(), most_across) * blocks(self.size.1, down.into(), most_down)
        } else {
            self.size.0.div_ceil(8 * most_across) * self.size.1.div_ceil(8 * most_down)
        };
        let (mut bits, mut restarts) = (Bits::default(), 0);
        let mut is_first = [true; 3];
        for unit in 0..units {
            if unit > 0 && self.restart_interval > 0 && unit % u32::from(self.restart_interval) == 0 {
                file.extend(std::mem::take(&mut bits).bytes());
                file.extend([0xff, 0xd0 + restarts % 8]);
                (restarts, is_first) = (restarts + 1, [true; 3]);
            }
            for component in components {
                let (across, down) = self.factors[*component];
                let count = if components.len() == 1 { 1 } else { across * down };
                for _ in 0..count {
                    if first == 0 {
                        self.mean(&mut bits, *component, std::mem::take(&mut is_first[*component]));
                    }
                    if last > 0 {
                        self.end_of_block(&mut bits, *component);
                    }
                }
            }
        }
        file.extend(bits.bytes());
    }

    /// The difference of a block's mean from that of the block before it.
    fn mean(&self, bits: &mut Bits, component: usize, is_first: bool) {
        let level = if is_first { LEVELS[component] } else { 0 };
        let size = i32::BITS - level.abs().leading_zeros();
        let (code, length) = match (self.has_own_codes(), component, size) {
            (true, _, 0) => (0, 1),
            (true, _, _) => ((1 << (size - 3)) - 2, size - 3),
            (false, _, 0) => (0b00, 2),
            (false, 0, 5) => (0b110, 3),
            (false, 1 | 2, _) => ((1 << size) - 2, size),
            other => panic!("no code for {other:?}"),
        };
        bits.push(code, length);
        bits.push(if level < 0 { (level - 1) & ((1 << size) - 1) } else { level } as u32, size);
    }

    fn end_of_block(&self, bits: &mut Bits, component: usize) {
        match (self.has_own_codes(), component) {
            (true, _) => bits.push(0, 1),
            (false, 0) => bits.push(0b1010, 4),
            (false, _) => bits.push(0b00, 2),
        }
    }
}

fn segment(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend(body);
}

/// Bits, the first of each byte the highest.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, code: u32, length: u32) {
        self.0.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    }

    /// Filled up with ones; a byte of ones is followed by a zero, so that it is no marker.
    fn bytes(self) -> Vec<u8> {
        let byte = |bits: &[bool]| (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&true)));
        let stuffed = self.0.chunks(8).map(byte).flat_map(|byte| [Some(byte), (byte == 0xff).then_some(0)]);
        stuffed.flatten().collect()
    }
}
