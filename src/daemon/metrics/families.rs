//! Every metric that there is: its name, kind and labels, and what it says.
//!
//! `docs/metrics.md` lists the same, and a test compares the two.

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// Whether `task` is a further label where the configuration names tasks.
    pub is_of_task: bool,
    /// One line for people.
    pub help: &'static str,
}

/// Defines the metrics, and the list of all.
macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $([$($label:literal),+])? $($task:ident)?, $help:literal;)+) => {
        $(pub(super) const $constant: Family = Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($($label),+)?],
            is_of_task: families!(@ $($task)?),
            help: $help,
        };)+
        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[Family] = &[$($constant),+];
    };
    (@) => { false };
    (@ task) => { true };
}

families! {
    BUILD: Gauge "edgetuned_build_info" ["version"], "The program.";
    BACKBONE: Gauge "edgetuned_backbone_info" ["name", "dim"], "The backbone.";
    HEAD: Gauge "edgetuned_head_info" ["id", "version"] task, "The head in service.";
    START: Gauge "edgetuned_start_time_seconds", "When the process began.";
    CPU: Counter "process_cpu_seconds_total", "Processor time of the process.";
    MEMORY: Gauge "process_resident_memory_bytes", "Resident memory of the process.";
    FILES: Gauge "process_open_fds", "Open files and connections.";

    IMAGES: Counter "edgetuned_images_total" ["result"], "Images looked at, by what became of them.";
    PREDICTIONS: Counter "edgetuned_predictions_total" ["class", "outcome"] task, "Predictions of new images.";
    STAGES: Histogram "edgetuned_stage_duration_seconds" ["stage"], "Time of each stage of an image.";
    LATENCY: Histogram "edgetuned_image_latency_seconds", "From a file's last change to a durable prediction.";
    QUEUE: Gauge "edgetuned_queue_images", "Files that wait to be read.";
    QUARANTINED: Gauge "edgetuned_quarantined_files", "Files that are put aside.";

    SAMPLES: Gauge "edgetuned_samples", "Samples in the store.";
    LABELS: Gauge "edgetuned_labels" ["class"] task, "Labelled samples of each class.";
    LABEL_CHANGES: Counter "edgetuned_label_changes_total" ["source"] task, "Labels set, changed or removed.";
    STORE: Gauge "edgetuned_store_bytes", "Size of the store.";
    QUOTA: Gauge "edgetuned_store_quota_bytes", "Bound of the store.";
    EVICTED: Counter "edgetuned_evicted_samples_total", "Samples dropped to stay within the bound.";

    TRAININGS: Counter "edgetuned_trainings_total" ["result"] task, "Trainings that ended.";
    TRAINING: Histogram "edgetuned_training_duration_seconds" ["stage"], "Time of each stage of a training.";
    TRAINED: Gauge "edgetuned_last_training_timestamp_seconds" task, "When the last training ended.";
    PROMOTED: Gauge "edgetuned_last_promotion_timestamp_seconds" task, "When the head came into service.";
    ACCURACY: Gauge "edgetuned_head_heldout_accuracy_ratio" task, "Accuracy of the head on held-out images.";
    BALANCED: Gauge "edgetuned_head_heldout_balanced_accuracy_ratio" task, "The same, each class counting alike.";
    RECALL: Gauge "edgetuned_head_heldout_class_recall_ratio" ["class"] task, "Recall of each class, likewise.";
    LIVE: Gauge "edgetuned_live_accuracy_ratio" ["kind"] task, "Accuracy on live images labelled later.";
    JUDGED: Gauge "edgetuned_live_judged_images" ["kind"] task, "Images that this is measured on.";
    DRIFT: Gauge "edgetuned_drift_score" ["kind"] task, "How near the alarm is; 1 raises it.";
    DRIFTING: Gauge "edgetuned_drift_active" task, "Whether that alarm is up.";
    REVIEW: Gauge "edgetuned_review_items" ["reason"] task, "Images that are worth a label.";

    ALERTS: Gauge "edgetuned_alert_active" ["alert", "severity"] task, "Whether an alert is up.";
    ERRORS: Counter "edgetuned_errors_total" ["source"], "Errors, by the part that reported them.";
    HEARTBEAT: Gauge "edgetuned_worker_heartbeat_age_seconds" ["worker"], "Time of a worker at one task.";
    TEMPERATURE: Gauge "edgetuned_temperature_celsius", "Temperature of the processor.";

    CONNECTED: Gauge "edgetuned_mqtt_connected", "Whether the broker is connected.";
    RECONNECTS: Counter "edgetuned_mqtt_reconnects_total", "Connections after the first.";
    PUBLISHED: Counter "edgetuned_mqtt_published_messages_total", "Messages that the broker acknowledged.";
    DROPPED: Counter "edgetuned_mqtt_dropped_messages_total", "Messages that were never delivered.";
    OUTBOX: Gauge "edgetuned_outbox_messages", "Messages that wait for the broker.";
    OLDEST: Gauge "edgetuned_outbox_oldest_age_seconds", "How long the oldest has waited.";

    REQUESTS: Counter "edgetuned_http_requests_total" ["route", "code"], "Requests over HTTP.";
    ANSWERS: Histogram "edgetuned_http_request_duration_seconds" ["route"], "Time of an answer.";
    WATCHERS: Gauge "edgetuned_http_watchers", "Clients that watch messages live.";
}
