//! How many keys a hundred labels take, as the tests of the page press them.

use crate::acts::{QUIET, in_bursts, one_by_one};
use crate::bars::{Bars, Unit};
use crate::stage::Stage;

/// Its documentation has two clicks for an image and none for several; its users count them (issue 24424).
const FRIGATE: &str = "Frigate: 200 clicks, counted from its documentation, not measured";

pub fn measure(bars: &mut Bars) {
    let keys = one_by_one(&Stage::set(QUIET).unwrap());
    bars.most("keys for 100 labels, one by one", Unit::Count, keys as f64, 105.0, FRIGATE);
    let (keys, bursts) = in_bursts(&Stage::set(QUIET).unwrap());
    let beside = format!("{FRIGATE}; the device found {bursts} bursts");
    bars.most("keys for 100 labels in ten bursts", Unit::Count, keys as f64, 15.0, &beside);
}
