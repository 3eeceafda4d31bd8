//! How sessions are made: threads, execution providers, and whether the CPU may compute what these do not take.

use std::path::Path;

use ort::environment::Environment;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};
use ort::memory::DeviceType;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel as Level, SessionBuilder};

use super::plugin;
use crate::backbone::runtime::message::RuntimeMessage;
use crate::words::{BUILT_IN_PROVIDERS, CPU, Execution, Provider};

/// How the sessions of a backbone are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    threads: usize,
    /// Before the CPU, in order; each has started once.
    pub(super) providers: Vec<Provider>,
    /// Whether a session with a step on the CPU is refused.
    strict: bool,
    /// Whether the CPU may compute what the providers do not take.
    allows_cpu: bool,
}

impl Way {
    /// On the CPU, on so many threads; 0 counts as 1.
    #[must_use]
    pub fn on_cpu(threads: usize) -> Self {
        Self { threads: threads.max(1), providers: Vec::new(), strict: false, allows_cpu: true }
    }

    /// By these providers, with nothing on the CPU where it is `strict`.
    pub(super) fn by(execution: &Execution, providers: &[Provider], strict: bool) -> Self {
        let (threads, allows_cpu) = (execution.threads.max(1), execution.allows_cpu());
        Self { threads, providers: providers.to_vec(), strict, allows_cpu }
    }

    /// Whether a session with a step on the CPU is refused.
    pub(in crate::backbone::runtime) fn is_strict(&self) -> bool {
        self.strict
    }

    /// A session of a model that is not the one that the way was found for: it may have steps that another one has not.
    pub(in crate::backbone::runtime) fn any_session(
        &self,
        environment: &Environment,
        model: (&[u8], Level),
    ) -> Result<Session, RuntimeMessage> {
        match self.session(environment, model, None) {
            Err(_) if self.strict && self.allows_cpu => {
                Self { strict: false, ..self.clone() }.session(environment, model, None)
            }
            result => result,
        }
    }

    /// A session of `model`; with a `profile`, the runs are recorded in a file whose name begins so.
    pub(in crate::backbone::runtime) fn session(
        &self,
        environment: &Environment,
        (model, level): (&[u8], Level),
        profile: Option<&Path>,
    ) -> Result<Session, RuntimeMessage> {
        let mut builder = self.options(environment, level, profile)?;
        for provider in &self.providers {
            builder = appended(environment, builder, provider)?;
        }
        if self.providers.is_empty() && plugin::any() {
            // Where none is named, ort lets ONNX Runtime choose among the devices of every plug-in.
            let cpu = environment.devices().filter(|device| device.ep().is_ok_and(|ep| Some(ep) == long_name(CPU)));
            builder = builder.with_devices(cpu, None).map_err(ort::Error::from)?;
        }
        builder.commit_from_memory(model).map_err(RuntimeMessage::from)
    }

    fn options(&self, environment: &Environment, level: Level, profile: Option<&Path>) -> ort::Result<SessionBuilder> {
        let mut builder = Session::builder(environment)?
            .with_optimization_level(level)?
            .with_intra_threads(self.threads)?
            .with_inter_threads(1)?
            // Pictures come seldom: threads that spin until the next one cost many times what the network does.
            .with_intra_op_spinning(false)?;
        if self.strict {
            builder = builder.with_disable_cpu_fallback()?;
        }
        if let Some(profile) = profile {
            builder = builder.with_profiling(profile)?;
        }
        Ok(builder)
    }
}

/// Whether `provider` can be asked for at all: the library knows it, its options are good, and it has a device here.
///
/// # Errors
/// Why not.
pub(super) fn starts(environment: &Environment, provider: &Provider) -> Result<(), RuntimeMessage> {
    appended(environment, Session::builder(environment)?, provider).map(drop)
}

/// The options with this provider behind those that they have.
fn appended(
    environment: &Environment,
    builder: SessionBuilder,
    provider: &Provider,
) -> Result<SessionBuilder, RuntimeMessage> {
    if let Some(library) = &provider.library {
        let names = plugin::registered(environment, &provider.name, library)?;
        return by_devices(environment, builder, provider, &names);
    }
    let Some(built_in) = built_in(provider) else {
        return Err(RuntimeMessage::new("it is not built in, and has no library in backbone.providers"));
    };
    Ok(builder.with_execution_providers([built_in.error_on_failure()]).map_err(ort::Error::from)?)
}

/// With the devices of a plug-in whose providers ONNX Runtime calls `names`; `device_type` chooses among them.
fn by_devices(
    environment: &Environment,
    builder: SessionBuilder,
    provider: &Provider,
    names: &[String],
) -> Result<SessionBuilder, RuntimeMessage> {
    let kind = provider.options.get(DEVICE_TYPE).map(String::as_str);
    let is_meant = |device: &ort::device::Device<'_>| {
        device.ep().is_ok_and(|ep| names.iter().any(|name| name == ep))
            && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(word(device.hardware_device().ty())))
    };
    let devices: Vec<_> = environment.devices().filter(is_meant).collect();
    if devices.is_empty() {
        return Err(RuntimeMessage::new(match kind {
            Some(kind) if !names.is_empty() => format!("its plug-in offers no device of the type {kind} here"),
            _ => "its plug-in offers no device here: there is none, it has no driver, or the plug-in needs another version \
                  of ONNX Runtime"
                .to_owned(),
        }));
    }
    let own = |name: &String| {
        let others = provider.options.iter().filter(|(key, _)| *key != DEVICE_TYPE);
        others.map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect::<Vec<_>>()
    };
    let options: Vec<(String, String)> = names.iter().flat_map(own).collect();
    Ok(builder.with_devices(devices, Some(&options)).map_err(ort::Error::from)?)
}

/// Which kind of device is meant: of a plug-in's provider, this program chooses by it.
const DEVICE_TYPE: &str = "device_type";

fn word(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::CPU => "CPU",
        DeviceType::GPU => "GPU",
        DeviceType::NPU => "NPU",
        DeviceType::FPGA => "FPGA",
    }
}

/// The provider that is known by its name alone, with its options.
fn built_in(provider: &Provider) -> Option<ExecutionProviderDispatch> {
    macro_rules! with_options {
        ($provider:expr) => {
            provider.options.iter().fold($provider, |with, (key, value)| with.with_arbitrary_config(key, value)).build()
        };
    }
    match provider.name.as_str() {
        "openvino" => Some(with_options!(ep::OpenVINO::default())),
        "cuda" => Some(with_options!(ep::CUDA::default())),
        "tensorrt" => Some(with_options!(ep::TensorRT::default())),
        "qnn" => Some(with_options!(ep::QNN::default())),
        _ => None,
    }
}

/// What ONNX Runtime calls the provider of this name, where it is built in.
fn long_name(name: &str) -> Option<&'static str> {
    Some(match name {
        CPU => "CPUExecutionProvider",
        "openvino" => "OpenVINOExecutionProvider",
        "cuda" => "CUDAExecutionProvider",
        "tensorrt" => "TensorrtExecutionProvider",
        "qnn" => "QNNExecutionProvider",
        _ => return None,
    })
}

/// The name in the configuration of what ONNX Runtime calls `long`; of a provider that is not among `providers`, `long`.
pub(super) fn configured_name(long: &str, providers: &[Provider]) -> String {
    let plugin = providers
        .iter()
        .find(|provider| provider.library.is_some() && plugin::names(&provider.name).iter().any(|name| name == long));
    let built_in = BUILT_IN_PROVIDERS.into_iter().find(|name| long_name(name) == Some(long));
    plugin.map(|provider| provider.name.as_str()).or(built_in).unwrap_or(long).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_needs_no_library_has_a_provider() {
        for name in BUILT_IN_PROVIDERS {
            let built_in = built_in(&Provider::named(name)).map(|provider| provider.name());
            assert_eq!(built_in, long_name(name).filter(|_| name != CPU), "{name}");
            assert_eq!(configured_name(long_name(name).unwrap(), &[]), name);
        }
        assert_eq!(configured_name("AcmeExecutionProvider", &[]), "AcmeExecutionProvider");
    }
}
