//! The figures of one scrape, which are forgotten with it: a series whose class or task is gone is not there the next time.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts, Registry};

use super::SOUND;
use super::families::{Family, Kind};
use crate::words::TaskId;

/// The label of a task.
const TASK: &str = "task";

/// What one scrape says beside what is counted all the time.
pub(super) struct Page {
    registry: Registry,
    /// Whether series about tasks name them.
    names_tasks: bool,
}

/// A series: its task where it is about one, the values of its family's labels, and its own.
pub(super) type Row<'a> = (Option<&'a TaskId>, Vec<&'a str>, f64);

impl Page {
    pub fn new(names_tasks: bool) -> Self {
        Self { registry: Registry::new(), names_tasks }
    }

    /// One figure of the device.
    pub fn one(&self, family: &Family, value: f64) {
        self.rows(family, [(None, Vec::new(), value)]);
    }

    /// One figure of the device, where it is known.
    pub fn known(&self, family: &Family, value: Option<f64>) {
        self.rows(family, value.map(|value| (None, Vec::new(), value)));
    }

    /// All series of a metric, which is left out where there are none.
    pub fn rows<'a>(&self, family: &Family, rows: impl IntoIterator<Item = Row<'a>>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let has_task = family.is_of_task && self.names_tasks;
        let labels: Vec<&str> = has_task.then_some(TASK).into_iter().chain(family.labels.iter().copied()).collect();
        let opts = Opts::new(family.name, family.help);
        let with_task = |task: Option<&'a TaskId>, values: Vec<&'a str>| {
            let task = has_task.then(|| task.map_or("", TaskId::as_str));
            task.into_iter().chain(values).collect::<Vec<_>>()
        };
        let collector: Box<dyn Collector> = match family.kind {
            Kind::Counter => {
                let counters = CounterVec::new(opts, &labels).expect(SOUND);
                for (task, values, value) in rows {
                    counters.with_label_values(&with_task(task, values)).inc_by(value);
                }
                Box::new(counters)
            }
            Kind::Gauge => {
                let gauges = GaugeVec::new(opts, &labels).expect(SOUND);
                for (task, values, value) in rows {
                    gauges.with_label_values(&with_task(task, values)).set(value);
                }
                Box::new(gauges)
            }
            Kind::Histogram => unreachable!("histograms are kept all the time"),
        };
        self.registry.register(collector).expect(SOUND);
    }

    /// Everything.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}
